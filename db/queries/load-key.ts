import type { Sql } from "../connection.ts"

export type LoadedKey = {
  keyId: string
  accountId: string
  keyHash: string
  isEnabled: boolean
  authVersion: number
}

/**
 * The API key with this hash, and the auth version of its account. Callers may rely on: both are
 * of one moment, so that a key which was revoked since has a lower version than its account.
 */
export async function loadKey(sql: Sql, keyHash: string): Promise<LoadedKey | null> {
  const rows = await sql<LoadedKey[]>`
    select k.id as "keyId", k.account_id as "accountId", k.key_hash as "keyHash",
      k.enabled as "isEnabled", a.auth_version as "authVersion"
    from api_keys k join accounts a on a.id = k.account_id
    where k.key_hash = ${keyHash}
  `
  return rows[0] ?? null
}
