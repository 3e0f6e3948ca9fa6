import type { Sql } from "../connection.ts"
import type { AccountRange } from "../range.ts"

export type WrongInstruction = {
  accountId: string
  kind: string
  sourceId: string
  instructions: number
  instructionsFen: number
  records: number
  recordsFen: number
}

/**
 * Callers may rely on: every cause of the page that is not answered was ordered by one flushed
 * instruction and credited by one change record, of the same account, kind and amount; and no credit
 * has no cause.
 * Reversals, which a gateway makes too, are not among them: see audit-reversals.ts.
 */
export async function auditInstructions(
  sql: Sql,
  { after, through }: AccountRange,
): Promise<WrongInstruction[]> {
  return await sql<WrongInstruction[]>`
    with ordered as (
      select account_id, kind, coalesce(source_id, '') as source_id, count(*) as count,
        sum(amount_fen) as amount
      from instructions
      where account_id > ${after} and account_id <= ${through}
        and flushed and amount_fen > 0 and kind <> 'reversal' group by 1, 2, 3
    ), credited as (
      select account_id, kind, coalesce(source_id, '') as source_id, count(*) as count,
        sum(amount_fen) as amount
      from change_records
      where account_id > ${after} and account_id <= ${through}
        and type = 1 and kind <> 'reversal' group by 1, 2, 3
    )
    select account_id as "accountId", kind, source_id as "sourceId",
      coalesce(o.count, 0)::float8 as instructions, coalesce(o.amount, 0)::float8 as "instructionsFen",
      coalesce(c.count, 0)::float8 as records, coalesce(c.amount, 0)::float8 as "recordsFen"
    from ordered o full join credited c using (account_id, kind, source_id)
    where o.count is distinct from c.count or o.amount is distinct from c.amount
      or (source_id <> '' and o.count <> 1)
  `
}
