import type { Sql } from "../connection.ts"

/**
 * Makes the account plane fit the records again, once all that Redis knew better is flushed: accounts
 * that only the records know get a row that nobody can log in to, and each account's instruction number
 * and auth version rise to the highest that Redis has seen, so that neither is given twice. A code that
 * was redeemed counts as redeemed; one that is not known any more comes back disabled. Then instructions
 * may be made again.
 *
 * Callers may rely on: all of it or none, in one statement; accounts that fit stay as they are. Of the
 * redemptions, those in records after the first `after` are looked at; `lost` is how many there were that
 * nobody knew of any more.
 */
export async function finishRefill(
  sql: Sql,
  { partition, after }: { partition: number; after: number },
): Promise<{ lost: number }> {
  const [row] = await sql<{ lost: number }[]>`
    with stubs as (
      insert into accounts (id, email, password_hash, invite_code, last_instruction, auth_version)
      select s.account_id, s.account_id || '@lost.invalid', '', s.account_id, s.instruction_number,
        s.auth_version
      from account_snapshots s
      where s.partition = ${partition}
        and not exists (select 1 from accounts a where a.id = s.account_id)
      on conflict do nothing
    ), risen as (
      update accounts a
      set last_instruction = greatest(a.last_instruction, s.instruction_number),
        auth_version = greatest(a.auth_version, s.auth_version)
      from account_snapshots s
      where s.partition = ${partition} and s.account_id = a.id
        and (a.last_instruction < s.instruction_number or a.auth_version < s.auth_version)
    ), lost as (
      select r.source_id, r.account_id, r.amount_fen, r.at,
        coalesce(substring(r.description from '^Redemption code (.+)$'), r.source_id) as code
      from change_records r
      where r.partition = ${partition} and r.position > ${after} and r.kind = 'redemption'
        and not exists (select 1 from redemptions d where d.id = r.source_id)
    ), forgotten as (
      insert into redemption_codes (id, code, amount_fen, used, enabled)
      select min(l.source_id), l.code, min(l.amount_fen), count(*), false
      from lost l
      where not exists (select 1 from redemption_codes c where c.code = l.code)
      group by l.code
      returning id, code
    ), used as (
      update redemption_codes c set used = c.used + l.count
      from (select code, count(*) as count from lost group by 1) l
      where c.code = l.code
      returning c.id, c.code
    ), redeemed as (
      insert into redemptions (id, account_id, code_id, amount_fen, at)
      select lost.source_id, lost.account_id, k.id, lost.amount_fen, lost.at
      from lost join (select * from forgotten union all select * from used) k using (code)
      on conflict do nothing
    ), finished as (
      update partitions set is_refilling = false where partition = ${partition}
    )
    select count(*)::integer as lost from lost
  `
  return { lost: row?.lost ?? 0 }
}
