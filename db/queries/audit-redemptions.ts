import type { Sql } from "../connection.ts"
import type { AccountRange } from "../range.ts"

export type WrongRedemption = {
  accountId: string
  redemptionId: string
  /** Rows of `redemptions`, and instructions of the same account and amount. */
  redemptions: number
  instructions: number
}

/**
 * Callers may rely on: a redemption of the page that is not answered has ordered its credit with one
 * instruction, of its account and amount; and no credit was ordered as a redemption that there never
 * was. Whether what was ordered was credited is told by audit-instructions.ts.
 */
export async function auditRedemptions(
  sql: Sql,
  { after, through }: AccountRange,
): Promise<WrongRedemption[]> {
  return await sql<WrongRedemption[]>`
    with redeemed as (
      select id as source_id, account_id, amount_fen, count(*) as count from redemptions
      where account_id > ${after} and account_id <= ${through} group by 1, 2, 3
    ), ordered as (
      select coalesce(source_id, '') as source_id, account_id, amount_fen, count(*) as count
      from instructions
      where account_id > ${after} and account_id <= ${through} and kind = 'redemption' group by 1, 2, 3
    )
    select account_id as "accountId", source_id as "redemptionId",
      coalesce(r.count, 0)::float8 as redemptions, coalesce(o.count, 0)::float8 as instructions
    from redeemed r full join ordered o using (source_id, account_id, amount_fen)
    where r.count is distinct from 1 or o.count is distinct from 1
    order by 1, 2
  `
}
