import type { Sql } from "../connection.ts"
import type { AccountRange } from "../range.ts"

/** An account whose records, taken alone, do not make its snapshot. */
export type WrongAccount = {
  accountId: string
  /** Records whose number does not follow the one before, whose balance does not, whose sum is wrong. */
  gaps: number
  breaks: number
  wrongSums: number
  lastSeq: number
  snapshotSeq: number | null
  sumFen: number
  snapshotFen: number | null
}

export type AuditedAccounts = {
  accounts: number
  records: number
  /** As text: sums may be larger than a number holds. */
  creditsFen: string
  debitsFen: string
  balancesFen: string
  wrong: WrongAccount[]
}

/**
 * Recomputes the accounts of a page from their first record. Callers may rely on: an account that is
 * not among `wrong` has records 1 to n without a gap, each of which continues the one before, and
 * their sum, their last balance and their last number are those of its snapshot; whatever is flushed
 * meanwhile is seen whole or not at all. One pass by account and number, no join by record.
 */
export async function auditAccounts(
  sql: Sql,
  { after, through }: AccountRange,
): Promise<AuditedAccounts> {
  const [row] = await sql<AuditedAccounts[]>`
    with wanted as (
      select account_id, seq, type, amount_fen, balance_before_fen, balance_after_fen
      from change_records where account_id > ${after} and account_id <= ${through}
    ), chained as (
      select *, lag(seq, 1, 0::bigint) over numbered + 1 as seq_expected,
        lag(balance_after_fen, 1, 0::bigint) over numbered as before_expected
      from wanted window numbered as (partition by account_id order by seq)
    ), summed as (
      select account_id, count(*) as records, max(seq) as last_seq,
        coalesce(sum(amount_fen) filter (where type = 1), 0) as credits,
        coalesce(sum(amount_fen) filter (where type = 2), 0) as debits,
        count(*) filter (where seq <> seq_expected) as gaps,
        count(*) filter (where balance_before_fen <> before_expected) as breaks,
        count(*) filter (where balance_after_fen <> balance_before_fen
          + case type when 1 then amount_fen else -amount_fen end) as wrong_sums
      from chained group by account_id
    ), snapshots as (
      select account_id, balance_fen, last_seq as snapshot_seq from account_snapshots
      where account_id > ${after} and account_id <= ${through}
    ), judged as (
      select account_id, coalesce(records, 0) as records, coalesce(credits, 0) as credits,
        coalesce(debits, 0) as debits, coalesce(gaps, 0) as gaps, coalesce(breaks, 0) as breaks,
        coalesce(wrong_sums, 0) as wrong_sums, coalesce(last_seq, 0) as last_seq, snapshot_seq,
        balance_fen
      from summed full join snapshots using (account_id)
    )
    select count(*)::float8 as accounts, coalesce(sum(records), 0)::float8 as records,
      coalesce(sum(credits), 0)::text as "creditsFen",
      coalesce(sum(debits), 0)::text as "debitsFen",
      coalesce(sum(balance_fen), 0)::text as "balancesFen",
      coalesce(json_agg(json_build_object('accountId', account_id, 'gaps', gaps, 'breaks', breaks,
        'wrongSums', wrong_sums, 'lastSeq', last_seq, 'snapshotSeq', snapshot_seq,
        'sumFen', credits - debits, 'snapshotFen', balance_fen))
        filter (where gaps + breaks + wrong_sums > 0 or last_seq is distinct from snapshot_seq
          or credits - debits is distinct from balance_fen), '[]') as wrong
    from judged
  `
  if (row === undefined) throw new Error("broken invariant: an aggregate answers one row")
  return row
}
