import type { Sql } from "../connection.ts"
import type { Run } from "./list-runs.ts"

/** One run of the reconciliation; rejects where there is none of this id. */
export async function readRun(sql: Sql, id: string): Promise<Run> {
  const [row] = await sql<Run[]>`
    select id, asked_by as "askedBy", asked_at as "createdAt", started_at as "startedAt",
      finished_at as "finishedAt", accounts::float8, records::float8, drift_fen as "driftFen",
      to_json(findings) as findings, failure
    from reconciliation_runs where id = ${id}
  `
  if (row === undefined) throw new Error(`there is no reconciliation ${id}`)
  return row
}
