import type { Sql } from "../connection.ts"
import type { ListedKey } from "./list-keys.ts"

/**
 * Makes an API key; null where the account has `keysMax` already. It raises no auth version: nobody
 * can have verified a key that did not exist. Keys made in the same instant may pass the bound.
 */
export async function addKey(
  sql: Sql,
  key: { id: string; accountId: string; name: string; keyHash: string; keysMax: number },
): Promise<ListedKey | null> {
  const { id, accountId, name, keyHash, keysMax } = key
  const rows = await sql<ListedKey[]>`
    insert into api_keys (id, account_id, name, key_hash)
    select ${id}, ${accountId}, ${name}, ${keyHash}
    where (select count(*) from api_keys where account_id = ${accountId}) < ${keysMax}::integer
    returning id, name, enabled, created_at as "createdAt"
  `
  return rows[0] ?? null
}
