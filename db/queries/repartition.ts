import { arrayText } from "../array.ts"
import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"

export type Repartition = {
  from: number
  to: number
  /** How many accounts are staged to change their partition. */
  moves: number
  /** Who may do it: the claim on each partition, and where it was drained to. */
  claims: readonly { partition: number; claim: number; entryNumber: number; entryId: string }[]
  audit: AuditRow
}

/**
 * Gives the ledger another number of partitions: accounts and stored results move as staged, what they
 * have moves between the counter-accounts in rows of the kind `repartition`, which add up to zero, and
 * partitions beyond the new number end. Positions and records of a partition go on.
 *
 * Callers may rely on: all of it or none; and only if nobody has claimed or flushed any of the
 * partitions since, and nobody else has changed their number (false otherwise).
 */
export async function repartition(
  sql: Sql,
  { from, to, moves, claims, audit }: Repartition,
): Promise<boolean> {
  const rows = await sql`
    with claimed as (
      select p.partition from partitions p
      join unnest(
        ${arrayText(claims.map(({ partition }) => partition))}::text::integer[],
        ${arrayText(claims.map(({ claim }) => claim))}::text::integer[],
        ${arrayText(claims.map(({ entryNumber }) => entryNumber))}::text::bigint[],
        ${arrayText(claims.map(({ entryId }) => entryId))}::text::text[]
      ) as c(partition, claim, entry_number, entry_id)
        on p.partition = c.partition and p.claimed = c.claim
        and p.entry_number = c.entry_number and p.entry_id = c.entry_id
      for update of p
    ), changed as (
      update ledger set partitions = ${to}
      where partitions = ${from} and (select count(*) from claimed) = ${from}
      returning 1
    ), moved as (
      update account_snapshots s set partition = m.partition
      from pg_temp.moves m, changed where s.account_id = m.account_id
      returning 1
    ), results as (
      update idempotency_results i set partition = m.partition
      from pg_temp.moves m, changed where i.account_id = m.account_id
    ), deltas as (
      select partition, sum(fen) as fen from (
        select m.partition, s.balance_fen as fen
        from pg_temp.moves m join account_snapshots s using (account_id)
        union all
        select s.partition, -s.balance_fen
        from pg_temp.moves m join account_snapshots s using (account_id)
      ) both_sides group by partition
    ), countered as (
      insert into counter_accounts as c (partition, kind, credit_fen, debit_fen)
      select partition, 'repartition', greatest(-fen, 0), greatest(fen, 0)
      from deltas, changed where fen <> 0
      on conflict (partition, kind) do update
      set credit_fen = c.credit_fen + excluded.credit_fen,
        debit_fen = c.debit_fen + excluded.debit_fen
    ), made as (
      insert into partitions (partition)
      select n from changed, generate_series(0, ${to - 1}::integer) n
      on conflict (partition) do nothing
    ), ended as (
      update generations g
      set last_entry = p.entry_number, last_records = p.records, ended_at = now()
      from partitions p, changed
      where p.partition = g.partition and p.generation = g.generation and g.ended_at is null
        and g.partition >= ${to}
    ), retired as (
      update partitions p set is_open = false from changed where p.partition >= ${to}
    )
    insert into audit_log (id, actor, action, target, details, request_id, address)
    select ${audit.id}, ${audit.actor}, ${audit.action}, 'ledger', ${audit.details}::text::jsonb,
      ${audit.requestId}, ${audit.address}
    from changed
    where flush_must((select count(*) from moved) = ${moves}, 'each staged account is moved')
      and flush_must((select coalesce(sum(fen), 0) from deltas) = 0, 'what moves out moves in')
    returning 1
  `
  return rows.length === 1
}
