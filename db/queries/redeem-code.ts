import type { Sql } from "../connection.ts"
import { orOneMore, secondsLeft } from "./count-attempt.ts"

export type Redemption = {
  redemptionId: string
  accountId: string
  /** Upper case. */
  code: string
  /** Unknown codes are counted under this key, up to `max` in a window. */
  attempts: { key: string; max: number; windowMs: number }
  /** No balance may be higher than that. */
  balanceFenMax: number
}

export type RedeemRow =
  | { status: "redeemed"; amountFen: string; secondsLeft: null }
  | { status: "code_not_found" | "rate_limited"; amountFen: null; secondsLeft: number }
  | {
      status:
        | "already_redeemed"
        | "code_not_active"
        | "code_used_up"
        | "balance_too_large"
        | "raced"
      amountFen: null
      secondsLeft: null
    }

/**
 * Redeems a code for an account: its use is counted, the redemption written, and the instruction
 * that credits it made, in one statement.
 *
 * Callers may rely on: all of it or none; never more uses than the code has, because the code's row
 * is locked and looked at again by whoever waited for it; once per account, because of the unique
 * index (`already_redeemed` is also what its violation, 23505, means). Refusals come in the order
 * of the cases below. `raced`: somebody else changed the code in the same instant; nothing was
 * written, and asking again tells what is so now. A code that is not there is counted, and past
 * the bound it is `rate_limited` whether it is there or not. The account's row is locked last, as
 * everywhere.
 *
 * The balance is taken as flushed, plus credits on their way: never lower than it really is, but
 * for two codes in the same instant.
 */
export async function redeemCode(sql: Sql, redemption: Redemption): Promise<RedeemRow> {
  const { redemptionId, accountId, code, attempts, balanceFenMax } = redemption
  const [row] = await sql<RedeemRow[]>`
    with asked as (
      select id, amount_fen, total_uses, used,
        enabled and coalesce(starts_at <= now(), true)
          and coalesce(expires_at > now(), true) as is_active,
        exists (select 1 from redemptions r
          where r.code_id = c.id and r.account_id = ${accountId}) as is_redeemed
      from redemption_codes c where code = ${code}
    ), barred as (
      select ${secondsLeft(sql)} as seconds_left from attempts
      where key = ${attempts.key} and count >= ${attempts.max}::integer and window_ends_at > now()
    ), expected as (
      select coalesce(max(s.balance_fen), 0) + coalesce((
        select sum(i.amount_fen) from instructions i where i.account_id = ${accountId}
          and i.number > coalesce(max(s.instruction_number), 0)), 0) as balance_fen
      from account_snapshots s where s.account_id = ${accountId}
    ), taken as (
      update redemption_codes c set used = c.used + 1
      from asked, expected
      where c.id = asked.id and c.enabled
        and coalesce(c.starts_at <= now(), true) and coalesce(c.expires_at > now(), true)
        and (c.total_uses is null or c.used < c.total_uses)
        and not asked.is_redeemed and not exists (select 1 from barred)
        and expected.balance_fen + asked.amount_fen <= ${balanceFenMax}::bigint
      returning c.id, c.code, c.amount_fen
    ), redeemed as (
      insert into redemptions (id, code_id, account_id, amount_fen)
      select ${redemptionId}, id, ${accountId}, amount_fen from taken
    ), numbered as (
      update accounts set last_instruction = last_instruction + 1
      where id = ${accountId} and exists (select 1 from taken)
      returning id, last_instruction, auth_version
    ), instructed as (
      insert into instructions (account_id, number, kind, amount_fen, auth_version, source_id,
        description)
      select numbered.id, numbered.last_instruction, 'redemption', taken.amount_fen,
        numbered.auth_version, ${redemptionId}, 'Redemption code ' || taken.code
      from numbered, taken
    ), counted as (
      insert into attempts as a (key, count, window_ends_at)
      select ${attempts.key}, 1, now() + ${attempts.windowMs}::bigint * interval '1 millisecond'
      where not exists (select 1 from asked) and not exists (select 1 from barred)
      ${orOneMore(sql)}
      returning count, ${secondsLeft(sql)} as seconds_left
    )
    select
      case
        when exists (select 1 from taken) then 'redeemed'
        when exists (select 1 from barred) then 'rate_limited'
        when exists (select 1 from counted where count > ${attempts.max}::integer)
          then 'rate_limited'
        when not exists (select 1 from asked) then 'code_not_found'
        when (select is_redeemed from asked) then 'already_redeemed'
        when not (select is_active from asked) then 'code_not_active'
        when (select used >= total_uses from asked) then 'code_used_up'
        when (select expected.balance_fen + asked.amount_fen from expected, asked)
          > ${balanceFenMax}::bigint then 'balance_too_large'
        else 'raced'
      end as status,
      (select amount_fen from taken) as "amountFen",
      coalesce((select seconds_left from barred), (select seconds_left from counted)) as "secondsLeft"
  `
  if (row === undefined) throw new Error("the statement answers one row, always")
  return row
}
