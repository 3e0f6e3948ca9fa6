import type { Sql } from "../connection.ts"
import { keyColumns, type ListedKey } from "./list-keys.ts"

/** One API key of an account; null where the account has no such key. */
export async function readKey(
  sql: Sql,
  { accountId, id }: { accountId: string; id: string },
): Promise<ListedKey | null> {
  const rows = await sql<ListedKey[]>`
    select ${keyColumns(sql)} from api_keys where id = ${id} and account_id = ${accountId}
  `
  return rows[0] ?? null
}
