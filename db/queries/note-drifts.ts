import { arrayText } from "../array.ts"
import type { Sql } from "../connection.ts"

export type DriftRow = { accountId: string; partition: number; driftFen: number; detail: string }

/**
 * Writes down accounts that drift. Answers those of which nobody knew, or not like this. Callers may
 * rely on: of several that find the same at once, one is told.
 */
export async function noteDrifts(sql: Sql, drifts: readonly DriftRow[]): Promise<string[]> {
  const rows = await sql<{ accountId: string }[]>`
    insert into drifts as known (account_id, partition, drift_fen, detail)
    select * from unnest(
      ${arrayText(drifts.map(({ accountId }) => accountId))}::text::text[],
      ${arrayText(drifts.map(({ partition }) => partition))}::text::integer[],
      ${arrayText(drifts.map(({ driftFen }) => driftFen))}::text::bigint[],
      ${arrayText(drifts.map(({ detail }) => detail))}::text::text[]
    )
    on conflict (account_id) do update
    set partition = excluded.partition, drift_fen = excluded.drift_fen, detail = excluded.detail
    where known.drift_fen <> excluded.drift_fen or known.detail <> excluded.detail
    returning account_id as "accountId"
  `
  return rows.map(({ accountId }) => accountId)
}
