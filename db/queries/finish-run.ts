import { arrayText } from "../array.ts"
import type { Sql } from "../connection.ts"

export type RunResult = {
  id: string
  accounts: number
  records: number
  driftFen: number
  findings: readonly string[]
  /** Up to where the records of each partition are proven; none where something was found. */
  proven: readonly { partition: number; position: number; through: Date | null }[]
}

/** Writes the result of a run, and how far the books are proven by it: that only moves on. */
export async function finishRun(sql: Sql, run: RunResult): Promise<void> {
  const { id, accounts, records, driftFen, findings, proven } = run
  await sql`
    with finished as (
      update reconciliation_runs
      set finished_at = now(), alive_at = now(), accounts = ${accounts}, records = ${records},
        drift_fen = ${driftFen}, findings = ${arrayText(findings)}::text::text[]
      where id = ${id}
    )
    insert into reconciliation as known (partition, reconciled_position, reconciled_through, drift_fen,
      checked_at)
    select p.partition, p.position, nullif(p.through, '')::timestamptz, 0, now()
    from unnest(
      ${arrayText(proven.map(({ partition }) => partition))}::text::integer[],
      ${arrayText(proven.map(({ position }) => position))}::text::bigint[],
      ${arrayText(proven.map(({ through }) => through?.toISOString() ?? ""))}::text::text[]
    ) as p(partition, position, through)
    on conflict (partition) do update
    set reconciled_position = greatest(known.reconciled_position, excluded.reconciled_position),
      reconciled_through = greatest(known.reconciled_through, excluded.reconciled_through)
  `
}
