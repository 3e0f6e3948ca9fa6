import type { Sql } from "../connection.ts"
import { keyColumns, type ListedKey } from "./list-keys.ts"

export type Rotation = { accountId: string; id: string; keyHash: string; overlapSeconds: number }

export type RotatedKey = ListedKey & {
  /** A secret that opened the key until now opens it no more: the one before, or a former one. */
  isSecretEnded: boolean
}

/**
 * Gives an API key a new secret; null where the account has no such key. The one before opens it
 * until the overlap ends, and one that was in an overlap already does not any more.
 * Callers may rely on: with it come, in the same statement, a higher auth version of the account and
 * the instruction that carries it to Redis. The account's row is locked last, as everywhere.
 */
export async function rotateKey(sql: Sql, rotation: Rotation): Promise<RotatedKey | null> {
  const { accountId, id, keyHash, overlapSeconds } = rotation
  const rows = await sql<RotatedKey[]>`
    with found as (
      select id, key_hash, coalesce(previous_expires_at > now(), false) as has_former
      from api_keys where id = ${id} and account_id = ${accountId} for update
    ), rotated as (
      update api_keys k
      set key_hash = ${keyHash},
        previous_hash = case when ${overlapSeconds}::integer > 0 then found.key_hash end,
        previous_expires_at = case when ${overlapSeconds}::integer > 0
          then now() + ${overlapSeconds}::integer * interval '1 second' end
      from found where k.id = found.id
      returning k.*, found.has_former or ${overlapSeconds}::integer = 0 as "isSecretEnded"
    ), raised as (
      update accounts set auth_version = auth_version + 1, last_instruction = last_instruction + 1
      where id = ${accountId} and exists (select 1 from rotated)
      returning id, auth_version, last_instruction
    ), instructed as (
      insert into instructions (account_id, number, kind, auth_version)
      select id, last_instruction, 'auth_version', auth_version from raised
    )
    select ${keyColumns(sql)}, "isSecretEnded" from rotated
  `
  return rows[0] ?? null
}
