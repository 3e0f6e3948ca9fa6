import type { Sql } from "../connection.ts"

/** What the records of a partition at some positions make together; sums as text, in fen. */
export type AuditedRecords = {
  records: number
  /** Positions that these have. */
  distinct: number
  kinds: readonly { kind: string; creditFen: string; debitFen: string }[]
}

/**
 * Adds up the records of a partition at the positions above `after`, up to `through`: what accounts
 * paid as credit, what they got as debit, as counter-accounts have it.
 *
 * Callers may rely on: below the watermark nothing changes any more, so that pages add up.
 */
export async function auditRecords(
  sql: Sql,
  { partition, after, through }: { partition: number; after: number; through: number },
): Promise<AuditedRecords> {
  const [row] = await sql<AuditedRecords[]>`
    with page as (
      select position, kind, type, amount_fen from change_records
      where partition = ${partition} and position > ${after} and position <= ${through}
    ), summed as (
      select kind, coalesce(sum(amount_fen) filter (where type = 2), 0)::text as "creditFen",
        coalesce(sum(amount_fen) filter (where type = 1), 0)::text as "debitFen"
      from page group by kind
    )
    select count(*)::float8 as records, count(distinct position)::float8 as distinct,
      (select coalesce(json_agg(summed), '[]') from summed) as kinds
    from page
  `
  if (row === undefined) throw new Error("broken invariant: an aggregate answers one row")
  return row
}
