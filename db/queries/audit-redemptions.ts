import type { Sql } from "../connection.ts"

export type WrongRedemption = {
  redemptionId: string
  accountId: string
  instructions: number
  records: number
}

/**
 * Callers may rely on: a redemption that is not answered has one instruction, of its account and
 * amount, and, unless that is not flushed yet, one change record likewise.
 */
export async function auditRedemptions(sql: Sql): Promise<WrongRedemption[]> {
  return await sql<WrongRedemption[]>`
    with ordered as (
      select source_id, account_id, amount_fen, count(*) as count, bool_and(flushed) as is_flushed
      from instructions where kind = 'redemption' group by 1, 2, 3
    ), credited as (
      select source_id, account_id, amount_fen, count(*) as count
      from change_records where kind = 'redemption' group by 1, 2, 3
    )
    select r.id as "redemptionId", r.account_id as "accountId",
      coalesce(o.count, 0)::float8 as instructions, coalesce(c.count, 0)::float8 as records
    from redemptions r
    left join ordered o on o.source_id = r.id and o.account_id = r.account_id and o.amount_fen = r.amount_fen
    left join credited c on c.source_id = r.id and c.account_id = r.account_id and c.amount_fen = r.amount_fen
    where coalesce(o.count, 0) <> 1 or coalesce(c.count, 0) <> case when o.is_flushed then 1 else 0 end
  `
}
