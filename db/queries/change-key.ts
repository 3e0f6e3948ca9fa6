import type { Sql } from "../connection.ts"
import { keyColumns, type ListedKey } from "./list-keys.ts"

export type KeyChange = {
  accountId: string
  id: string
  name: string | null
  isEnabled: boolean | null
  /** JSON text: limits by the names of their columns. null removes one; what is not named stays. */
  limits: string
}

/**
 * Renames an API key, enables or disables it, or changes its limits; null where the account has no
 * such key. Callers may rely on: if it was switched or limited otherwise, the account's auth version
 * is one higher and the instruction that carries it to Redis is there, in the same statement; if it
 * already was what is asked for, or only its name changed, neither is.
 *
 * A key without budget and rate has no counter in Redis. Where it comes to have one, the version of
 * its limits becomes the new auth version: the counter is seeded with what it spent before.
 *
 * `found` carries the whole row, so that a change that waited for another one starts from its
 * result. The account's row is locked last, as everywhere.
 */
export async function changeKey(sql: Sql, change: KeyChange): Promise<ListedKey | null> {
  const { accountId, id, name, isEnabled, limits } = change
  const rows = await sql<ListedKey[]>`
    with found as (
      select k as key from api_keys k where id = ${id} and account_id = ${accountId} for update
    ), asked as materialized (
      select found.key, jsonb_populate_record(found.key, ${limits}::text::jsonb) as limited,
        coalesce(${isEnabled}::boolean, (found.key).enabled) as enabled
      from found
    ), judged as (
      select (key).id, enabled, limited,
        enabled <> (key).enabled or limited is distinct from key as is_raised,
        coalesce((key).daily_fen, (key).monthly_fen, (key).total_fen, (key).rate_per_second)
          is null as was_uncounted,
        coalesce((limited).daily_fen, (limited).monthly_fen, (limited).total_fen,
          (limited).rate_per_second) is not null as is_counted
      from asked
    ), raised as (
      update accounts set auth_version = auth_version + 1, last_instruction = last_instruction + 1
      where id = ${accountId} and exists (select 1 from judged where is_raised)
      returning id, auth_version, last_instruction
    ), instructed as (
      insert into instructions (account_id, number, kind, auth_version)
      select id, last_instruction, 'auth_version', auth_version from raised
    ), changed as (
      update api_keys k
      set name = coalesce(${name}::text, k.name), enabled = j.enabled,
        daily_fen = (j.limited).daily_fen, monthly_fen = (j.limited).monthly_fen,
        total_fen = (j.limited).total_fen, rate_per_second = (j.limited).rate_per_second,
        allowed_cidrs = (j.limited).allowed_cidrs, interfaces = (j.limited).interfaces,
        expires_at = (j.limited).expires_at,
        limits_version = case when j.was_uncounted and j.is_counted
          then (select auth_version from raised) else k.limits_version end
      from judged j where k.id = j.id
      returning k.*
    )
    select ${keyColumns(sql)} from changed
  `
  return rows[0] ?? null
}
