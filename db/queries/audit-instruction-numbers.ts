import type { Sql } from "../connection.ts"
import type { AccountRange } from "../range.ts"

export type WrongNumbers = {
  accountId: string
  snapshotNumber: number
  flushed: number
  highestFlushed: number
}

/**
 * Callers may rely on: of an account of the page that is not answered, the instructions marked as flushed are
 * 1 to n without a gap, and n is the number in its snapshot: none is forgotten by the sweep.
 */
export async function auditInstructionNumbers(
  sql: Sql,
  { after, through }: AccountRange,
): Promise<WrongNumbers[]> {
  return await sql<WrongNumbers[]>`
    with marked as (
      select account_id, count(*) as flushed, max(number) as highest
      from instructions
      where flushed and account_id > ${after} and account_id <= ${through} group by account_id
    ), snapshots as (
      select account_id, instruction_number from account_snapshots
      where account_id > ${after} and account_id <= ${through}
    )
    select account_id as "accountId", coalesce(s.instruction_number, 0) as "snapshotNumber",
      coalesce(m.flushed, 0)::float8 as flushed, coalesce(m.highest, 0) as "highestFlushed"
    from snapshots s full join marked m using (account_id)
    where coalesce(s.instruction_number, 0) <> coalesce(m.flushed, 0)
      or coalesce(s.instruction_number, 0) <> coalesce(m.highest, 0)
  `
}
