import type { Sql } from "../connection.ts"
import type { AccountRange } from "../range.ts"

export type WrongReversal = {
  chargeId: string
  /** Rows of `reversals`, their instructions, and the change records of the charge's reversal. */
  reversals: number
  instructions: number
  records: number
}

/**
 * Callers may rely on: a reversal of the page that is not answered has one instruction, of its
 * account, number and amount, and its charge, unless that instruction is not flushed yet, a change
 * record of this amount; and no charge has more than one. A revoke reverses without an instruction,
 * and where it came first, the instruction is passed over: the record is the revoke's.
 */
export async function auditReversals(
  sql: Sql,
  { after, through }: AccountRange,
): Promise<WrongReversal[]> {
  return await sql<WrongReversal[]>`
    with asked as (
      select r.charge_id, r.amount_fen, count(i.number) as instructions,
        bool_and(i.flushed) as is_flushed
      from reversals r left join instructions i on i.account_id = r.account_id
        and i.number = r.instruction and i.kind = 'reversal' and i.source_id = r.charge_id
        and i.amount_fen = r.amount_fen
      where r.account_id > ${after} and r.account_id <= ${through}
      group by 1, 2
    ), made as (
      select source_id as charge_id, count(*) as records, max(amount_fen) as amount_fen
      from change_records
      where account_id > ${after} and account_id <= ${through} and kind = 'reversal' group by 1
    )
    select charge_id as "chargeId", (a.charge_id is not null)::integer as reversals,
      coalesce(a.instructions, 0)::float8 as instructions, coalesce(m.records, 0)::float8 as records
    from asked a full join made m using (charge_id)
    where coalesce(m.records, 0) > 1 or a.instructions <> 1
      or (a.is_flushed and m.amount_fen is distinct from a.amount_fen)
    order by 1
  `
}
