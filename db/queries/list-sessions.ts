import type { Sql } from "../connection.ts"

export type ListedSession = { id: string; createdAt: Date; expiresAt: Date; address: string }

/** An account's sessions that have not expired, newest first, after the cursor. */
export function listSessions(
  sql: Sql,
  page: { accountId: string; after: { at: string; id: string } | null; limit: number },
): Promise<ListedSession[]> {
  const { accountId, after, limit } = page
  const older =
    after === null
      ? sql``
      : sql`and (created_at, id) < (${after.at}::text::timestamptz, ${after.id})`
  return sql<ListedSession[]>`
    select id, created_at as "createdAt", expires_at as "expiresAt", address
    from sessions
    where account_id = ${accountId} and expires_at > now()
      ${older}
    order by created_at desc, id desc
    limit ${limit}
  `
}
