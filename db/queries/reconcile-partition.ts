import type { Sql } from "../connection.ts"

export type Reconciled = {
  position: number
  /** Between counter-accounts and snapshots. */
  driftFen: number
  missing: number
}

/**
 * Proves the records of one partition that came since the last proof, at most `limit` of them:
 * none is missing between them, and what the counter-accounts say that accounts have together is
 * what their snapshots say. Writes the result; the reconciled position moves only where both hold.
 * The drift that is written is also what accounts are known to drift in Redis, where that is more.
 *
 * Callers may rely on: one snapshot of the database for all of it, so that a flush that commits
 * meanwhile is seen whole or not at all.
 */
export async function reconcilePartition(
  sql: Sql,
  { partition, limit }: { partition: number; limit: number },
): Promise<Reconciled> {
  const rows = await sql<{ position: string; drift: string; missing: string }[]>`
    with before as (
      select coalesce(max(reconciled_position), 0) as position
      from reconciliation where partition = ${partition}
    ), target as (
      select least(p.records, before.position + ${limit}) as position
      from partitions p, before where p.partition = ${partition}
    ), proven as (
      select count(distinct r.position) as records, max(r.at) as through
      from change_records r, before, target
      where r.partition = ${partition}
        and r.position > before.position and r.position <= target.position
    ), books as (
      select
        (select coalesce(sum(debit_fen - credit_fen), 0) from counter_accounts where partition = ${partition})
        - (select coalesce(sum(balance_fen), 0) from account_snapshots
          where partition = ${partition}) as drift
    ), drifting as (
      select coalesce(sum(drift_fen), 0)::bigint as drift from drifts where partition = ${partition}
    ), judged as (
      select target.position, before.position as position_before, proven.through,
        abs(books.drift)::bigint as drift,
        target.position - before.position - proven.records as missing
      from before, target, proven, books
    )
    insert into reconciliation (partition, reconciled_position, reconciled_through, drift_fen, checked_at)
    select ${partition}::integer, case when missing = 0 and drift = 0 then position else position_before end,
      case when missing = 0 and drift = 0 then through end,
      greatest(drift, (select drift from drifting)), now()
    from judged
    on conflict (partition) do update
    set reconciled_position = greatest(reconciliation.reconciled_position, excluded.reconciled_position),
      reconciled_through = coalesce(excluded.reconciled_through, reconciliation.reconciled_through),
      drift_fen = excluded.drift_fen, checked_at = excluded.checked_at
    returning reconciled_position as position, (select drift from judged) as drift,
      (select missing from judged) as missing
  `
  const [row] = rows
  if (row === undefined) throw new Error(`Postgres has no partition ${partition}`)
  return {
    position: Number(row.position),
    driftFen: Number(row.drift),
    missing: Number(row.missing),
  }
}
