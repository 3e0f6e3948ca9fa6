import type { Sql } from "../connection.ts"

export type WrongCounter = {
  partition: number
  kind: string
  creditFen: number
  debitFen: number
  recordsCreditFen: number
  recordsDebitFen: number
}

/**
 * Callers may rely on: a kind of a partition that is not answered has in its counter-account what
 * its records sum up to: credited with what accounts paid, debited with what they got.
 */
export async function auditCounters(sql: Sql): Promise<WrongCounter[]> {
  return await sql<WrongCounter[]>`
    with summed as (
      select partition, kind, coalesce(sum(amount_fen) filter (where type = 2), 0) as credit,
        coalesce(sum(amount_fen) filter (where type = 1), 0) as debit
      from change_records group by partition, kind
    )
    select partition, kind, coalesce(c.credit_fen, 0)::float8 as "creditFen",
      coalesce(c.debit_fen, 0)::float8 as "debitFen",
      coalesce(s.credit, 0)::float8 as "recordsCreditFen",
      coalesce(s.debit, 0)::float8 as "recordsDebitFen"
    from counter_accounts c full join summed s using (partition, kind)
    where coalesce(c.credit_fen, 0) <> coalesce(s.credit, 0)
      or coalesce(c.debit_fen, 0) <> coalesce(s.debit, 0)
  `
}
