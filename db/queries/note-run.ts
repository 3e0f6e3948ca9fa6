import type { Sql } from "../connection.ts"

/** Notes that a run goes on, and how far it is. */
export async function noteRun(
  sql: Sql,
  { id, accounts, records }: { id: string; accounts: number; records: number },
): Promise<void> {
  await sql`
    update reconciliation_runs set alive_at = now(), accounts = ${accounts}, records = ${records}
    where id = ${id}
  `
}
