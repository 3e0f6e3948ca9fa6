import type { Sql } from "../connection.ts"

export type ListedServiceKey = { id: string; name: string; enabled: boolean; createdAt: Date }

/** The service keys, newest first, after the cursor. */
export function listServiceKeys(
  sql: Sql,
  { after, limit }: { after: { at: string; id: string } | null; limit: number },
): Promise<ListedServiceKey[]> {
  const older =
    after === null
      ? sql``
      : sql`where (created_at, id) < (${after.at}::text::timestamptz, ${after.id})`
  return sql<ListedServiceKey[]>`
    select id, name, enabled, created_at as "createdAt"
    from service_keys
    ${older}
    order by created_at desc, id desc
    limit ${limit}
  `
}
