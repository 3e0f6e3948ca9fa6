import type { Sql } from "../connection.ts"

/** Notes why a run ended without a result. */
export async function failRun(
  sql: Sql,
  { id, failure }: { id: string; failure: string },
): Promise<void> {
  await sql`
    update reconciliation_runs set finished_at = now(), failure = ${failure}
    where id = ${id} and finished_at is null
  `
}
