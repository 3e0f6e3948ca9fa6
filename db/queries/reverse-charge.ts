import type { Sql } from "../connection.ts"

export type ReversalAsked = {
  chargeId: string
  /** What the charge's id tells: its account, its number, and the month that it is in. */
  accountId: string
  seq: number
  from: Date
  to: Date
  serviceKeyId: string
  idempotencyDigest: string | null
  /** No balance may be higher than that. */
  balanceFenMax: number
}

export type ReversalRow = {
  status:
    | "reversed"
    | "invalid_credential"
    | "key_disabled"
    | "already_reversed"
    | "not_found"
    | "not_flushed"
    | "balance_too_large"
  /** Of the request that reversed it before; null where it had no Idempotency-Key. */
  idempotencyDigest: string | null
}

/**
 * Reverses a charge: the reversal is written, and the instruction made that gives the amount back,
 * in one statement.
 *
 * Callers may rely on: all of it or none; once per charge, for ever, because of the primary key
 * (`already_reversed` is also what its violation, 23505, means, and what a record says that a revoke
 * has written). Only a service key that is enabled reverses anything: no version is compared here,
 * the key itself is looked at. `not_flushed`: Postgres has not got as far as the charge's number
 * yet. A closed account has no charges any more. The account's row is locked last, as everywhere.
 *
 * The balance is taken as flushed, plus credits on their way, as a redemption takes it.
 */
export async function reverseCharge(sql: Sql, reversal: ReversalAsked): Promise<ReversalRow> {
  const { chargeId, accountId, seq, from, to, serviceKeyId, idempotencyDigest } = reversal
  const [row] = await sql<ReversalRow[]>`
    with service as (
      select enabled from service_keys where id = ${serviceKeyId}
    ), account as (
      select a.id, coalesce(s.last_seq, 0) as last_seq, coalesce(s.balance_fen, 0) + coalesce((
          select sum(i.amount_fen) from instructions i
          where i.account_id = a.id and i.number > coalesce(s.instruction_number, 0)), 0)
        as balance_fen
      from accounts a left join account_snapshots s on s.account_id = a.id
      where a.id = ${accountId} and coalesce(s.status, 'open') <> 'closed'
    ), charge as (
      select r.amount_fen, r.description
      from account join change_records r on r.account_id = account.id
      where r.seq = ${seq} and r.kind in ('charge', 'capture')
        and r.at >= ${from.toISOString()}::text::timestamptz
        and r.at < ${to.toISOString()}::text::timestamptz
    ), known as (
      select idempotency_digest from reversals where charge_id = ${chargeId}
      union all
      select null from change_records where kind = 'reversal' and source_id = ${chargeId}
    ), allowed as (
      select charge.amount_fen, charge.description from charge, account
      where (select enabled from service) and not exists (select 1 from known)
        and account.balance_fen + charge.amount_fen <= ${reversal.balanceFenMax}::bigint
    ), numbered as (
      update accounts set last_instruction = last_instruction + 1
      where id = ${accountId} and exists (select 1 from allowed)
      returning id, last_instruction, auth_version
    ), reversed as (
      insert into reversals (charge_id, account_id, amount_fen, instruction, service_key_id,
        idempotency_digest)
      select ${chargeId}, numbered.id, allowed.amount_fen, numbered.last_instruction,
        ${serviceKeyId}, ${idempotencyDigest}
      from numbered, allowed
    ), instructed as (
      insert into instructions (account_id, number, kind, amount_fen, auth_version, source_id,
        description)
      select numbered.id, numbered.last_instruction, 'reversal', allowed.amount_fen,
        numbered.auth_version, ${chargeId}, 'Reversal of ' || allowed.description
      from numbered, allowed
    )
    select
      case
        when exists (select 1 from numbered) then 'reversed'
        when not exists (select 1 from service) then 'invalid_credential'
        when not (select enabled from service) then 'key_disabled'
        when exists (select 1 from known) then 'already_reversed'
        when exists (select 1 from charge) then 'balance_too_large'
        when (select last_seq < ${seq} from account) then 'not_flushed'
        else 'not_found'
      end as status,
      (select max(idempotency_digest) from known) as "idempotencyDigest"
  `
  if (row === undefined) throw new Error("the statement answers one row, always")
  return row
}
