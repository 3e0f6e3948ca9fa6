import type { Sql } from "../connection.ts"

/**
 * Takes back a charge whose callers were told 503, and that no revoke can reach because its
 * generation is over: an instruction gives the amount back, and the reversal stands like any other. No
 * rebuild gives back its result any more.
 *
 * Callers may rely on: all of it or none, in one statement; once per charge, for ever (false: it was
 * reversed before, or the account is closed). The account's row is locked last, as everywhere.
 */
export async function takeBackCharge(
  sql: Sql,
  { chargeId, accountId, seq, at }: { chargeId: string; accountId: string; seq: number; at: Date },
): Promise<boolean> {
  const rows = await sql`
    with charge as (
      select r.amount_fen from change_records r
      where r.account_id = ${accountId} and r.seq = ${seq}
        and r.at = ${at.toISOString()}::text::timestamptz
        and not exists (select 1 from reversals where charge_id = ${chargeId})
        and not exists (
          select 1 from change_records where kind = 'reversal' and source_id = ${chargeId})
    ), numbered as (
      update accounts a set last_instruction = a.last_instruction + 1
      where a.id = ${accountId} and exists (select 1 from charge)
        and not exists (
          select 1 from account_snapshots s where s.account_id = a.id and s.status = 'closed')
      returning a.id, a.last_instruction, a.auth_version
    ), reversed as (
      insert into reversals (charge_id, account_id, amount_fen, instruction, service_key_id)
      select ${chargeId}, numbered.id, charge.amount_fen, numbered.last_instruction, ''
      from numbered, charge
    ), forgotten as (
      delete from idempotency_results i using numbered
      where i.account_id = numbered.id and i.seq = ${seq}
    )
    insert into instructions (account_id, number, kind, amount_fen, auth_version, source_id,
      description)
    select numbered.id, numbered.last_instruction, 'reversal', charge.amount_fen,
      numbered.auth_version, ${chargeId}, 'Reversal: the call was answered 503'
    from numbered, charge
    returning 1
  `
  return rows.length === 1
}
