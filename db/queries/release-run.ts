import type { Sql } from "../connection.ts"

/** Gives a run back that its process cannot finish: whoever looks next begins it anew. */
export async function releaseRun(sql: Sql, id: string): Promise<void> {
  await sql`
    update reconciliation_runs set started_at = null, alive_at = null
    where id = ${id} and finished_at is null
  `
}
