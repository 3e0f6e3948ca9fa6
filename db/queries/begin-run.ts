import type { Sql } from "../connection.ts"

/** Notes a run of the reconciliation that its caller carries out at once. */
export async function beginRun(sql: Sql, id: string): Promise<void> {
  await sql`
    insert into reconciliation_runs (id, asked_by, started_at, alive_at)
    values (${id}, 'system', now(), now())
  `
}
