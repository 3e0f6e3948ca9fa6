import type { Sql } from "../connection.ts"
import { keyColumns, type ListedKey } from "./list-keys.ts"

export type NewKey = {
  id: string
  accountId: string
  name: string
  keyHash: string
  /** JSON text: limits by the names of their columns; what is not named is not limited. */
  limits: string
  keysMax: number
}

/**
 * Makes an API key with its limits; null where the account has `keysMax` already. It raises no auth
 * version: nobody can have verified a key that did not exist, and it has spent nothing, so that the
 * version of its limits is 0. Keys made in the same instant may pass the bound.
 */
export async function addKey(sql: Sql, key: NewKey): Promise<ListedKey | null> {
  const { id, accountId, name, keyHash, limits, keysMax } = key
  const rows = await sql<ListedKey[]>`
    insert into api_keys (id, account_id, name, key_hash, daily_fen, monthly_fen, total_fen,
      rate_per_second, allowed_cidrs, interfaces, expires_at)
    select ${id}, ${accountId}, ${name}, ${keyHash}, l.daily_fen, l.monthly_fen, l.total_fen,
      l.rate_per_second, l.allowed_cidrs, l.interfaces, l.expires_at
    from jsonb_populate_record(null::api_keys, ${limits}::text::jsonb) l
    where (select count(*) from api_keys where account_id = ${accountId}) < ${keysMax}::integer
    returning ${keyColumns(sql)}
  `
  return rows[0] ?? null
}
