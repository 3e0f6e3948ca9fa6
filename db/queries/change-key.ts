import type { Sql } from "../connection.ts"
import type { ListedKey } from "./list-keys.ts"

/**
 * Renames an API key, enables or disables it; null where the account has no such key.
 * Callers may rely on: if it was switched, the account's auth version is one higher and the
 * instruction that carries it to Redis is there, in the same statement; if it already was what is
 * asked for, or only its name changed, neither is. The account's row is locked last, as everywhere.
 */
export async function changeKey(
  sql: Sql,
  change: { accountId: string; id: string; name: string | null; isEnabled: boolean | null },
): Promise<ListedKey | null> {
  const { accountId, id, name, isEnabled } = change
  const rows = await sql<ListedKey[]>`
    with found as (
      select id, enabled from api_keys where id = ${id} and account_id = ${accountId} for update
    ), changed as (
      update api_keys k
      set name = coalesce(${name}::text, k.name),
        enabled = coalesce(${isEnabled}::boolean, k.enabled)
      from found where k.id = found.id
      returning k.id, k.name, k.enabled, k.created_at, found.enabled <> k.enabled as is_switched
    ), raised as (
      update accounts set auth_version = auth_version + 1, last_instruction = last_instruction + 1
      where id = ${accountId} and exists (select 1 from changed where is_switched)
      returning id, auth_version, last_instruction
    ), instructed as (
      insert into instructions (account_id, number, kind, auth_version)
      select id, last_instruction, 'auth_version', auth_version from raised
    )
    select id, name, enabled, created_at as "createdAt" from changed
  `
  return rows[0] ?? null
}
