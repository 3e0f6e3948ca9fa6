import type { Sql } from "../connection.ts"

export type ListedKey = { id: string; name: string; enabled: boolean; createdAt: Date }

/** An account's API keys, newest first, after the cursor. */
export function listKeys(
  sql: Sql,
  page: { accountId: string; after: { at: string; id: string } | null; limit: number },
): Promise<ListedKey[]> {
  const { accountId, after, limit } = page
  const older =
    after === null
      ? sql``
      : sql`and (created_at, id) < (${after.at}::text::timestamptz, ${after.id})`
  return sql<ListedKey[]>`
    select id, name, enabled, created_at as "createdAt"
    from api_keys
    where account_id = ${accountId}
      ${older}
    order by created_at desc, id desc
    limit ${limit}
  `
}
