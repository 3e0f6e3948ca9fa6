import type { Sql } from "../connection.ts"

/**
 * What the books are out by, in fen: as the last proof of each partition in use found them, or as the
 * last finished run did, where that was more. Null where a partition was not proven for `silentMs`:
 * then nobody knows.
 */
export async function readDrift(sql: Sql, silentMs: number): Promise<number | null> {
  const [row] = await sql<{ drift: string; ran: string; isStale: boolean }[]>`
    select coalesce(sum(r.drift_fen), 0) as drift,
      coalesce((select drift_fen from reconciliation_runs
        where finished_at is not null and failure is null
        order by finished_at desc limit 1), 0) as ran,
      coalesce(bool_or(r.checked_at < now() - ${silentMs} * interval '1 millisecond'), false)
        as "isStale"
    from reconciliation r join ledger l on r.partition < l.partitions
  `
  if (row === undefined || row.isStale) return null
  return Math.max(Number(row.drift), Number(row.ran))
}
