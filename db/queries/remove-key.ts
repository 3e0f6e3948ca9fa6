import type { Sql } from "../connection.ts"

/**
 * Deletes an API key; false where the account has no such key.
 * Callers may rely on: with the key goes, in the same statement, a higher auth version of its
 * account and the instruction that carries it to Redis. Its usage and its records stay.
 */
export async function removeKey(
  sql: Sql,
  { accountId, id }: { accountId: string; id: string },
): Promise<boolean> {
  const rows = await sql`
    with removed as (
      delete from api_keys where id = ${id} and account_id = ${accountId} returning id
    ), raised as (
      update accounts set auth_version = auth_version + 1, last_instruction = last_instruction + 1
      where id = ${accountId} and exists (select 1 from removed)
      returning id, auth_version, last_instruction
    ), instructed as (
      insert into instructions (account_id, number, kind, auth_version)
      select id, last_instruction, 'auth_version', auth_version from raised
    )
    select id from removed
  `
  return rows.length === 1
}
