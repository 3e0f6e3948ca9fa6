import type { Sql } from "../connection.ts"

export type ListedKey = {
  id: string
  name: string
  enabled: boolean
  createdAt: Date
  dailyFen: string | null
  monthlyFen: string | null
  totalFen: string | null
  ratePerSecond: number | null
  allowedCidrs: string[] | null
  interfaces: string[] | null
  expiresAt: Date | null
}

/** What is shown of an API key, from any relation that has the columns of `api_keys`. */
export function keyColumns(sql: Sql) {
  return sql`id, name, enabled, created_at as "createdAt", daily_fen as "dailyFen",
    monthly_fen as "monthlyFen", total_fen as "totalFen", rate_per_second as "ratePerSecond",
    to_json(allowed_cidrs) as "allowedCidrs", to_json(interfaces) as interfaces,
    expires_at as "expiresAt"`
}

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
    select ${keyColumns(sql)}
    from api_keys
    where account_id = ${accountId}
      ${older}
    order by created_at desc, id desc
    limit ${limit}
  `
}
