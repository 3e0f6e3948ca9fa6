import type { Sql } from "../connection.ts"

export type Run = {
  id: string
  askedBy: string
  createdAt: Date
  startedAt: Date | null
  finishedAt: Date | null
  accounts: number
  records: number
  driftFen: string
  /** JSON of the sentences. */
  findings: string
  failure: string | null
}

/** Runs of the reconciliation, the newest first; `after`: where the next page begins. */
export async function listRuns(
  sql: Sql,
  { after, limit }: { after: { at: string; id: string } | null; limit: number },
): Promise<Run[]> {
  return await sql<Run[]>`
    select id, asked_by as "askedBy", asked_at as "createdAt", started_at as "startedAt",
      finished_at as "finishedAt", accounts::float8, records::float8, drift_fen as "driftFen",
      to_json(findings)::text as findings, failure
    from reconciliation_runs
    where ${after === null} or (asked_at, id) < (${after?.at ?? "1970-01-01"}::text::timestamptz, ${after?.id ?? ""})
    order by asked_at desc, id desc limit ${limit}
  `
}
