import type { Sql } from "../connection.ts"

/** A recomputation of the books. */
export type Run = {
  id: string
  askedBy: string
  createdAt: Date
  startedAt: Date | null
  finishedAt: Date | null
  accounts: number
  records: number
  driftFen: string
  findings: readonly string[]
  failure: string | null
}

/** Runs of the reconciliation, the newest first; `after`: where the page begins. */
export async function listRuns(
  sql: Sql,
  { after, limit }: { after: { at: string; id: string } | null; limit: number },
): Promise<Run[]> {
  return await sql<Run[]>`
    select id, asked_by as "askedBy", asked_at as "createdAt", started_at as "startedAt",
      finished_at as "finishedAt", accounts::float8, records::float8, drift_fen as "driftFen",
      to_json(findings) as findings, failure
    from reconciliation_runs
    where ${after?.at ?? null}::text is null
      or (asked_at, id) < (${after?.at ?? null}::text::timestamptz, ${after?.id ?? ""})
    order by asked_at desc, id desc limit ${limit}
  `
}
