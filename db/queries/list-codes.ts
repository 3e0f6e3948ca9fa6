import type { Sql } from "../connection.ts"

export type ListedCode = {
  id: string
  code: string
  amountFen: string
  totalUses: number | null
  used: number
  startsAt: Date | null
  expiresAt: Date | null
  enabled: boolean
  note: string | null
  createdAt: Date
}

/** Redemption codes, newest first, after the cursor. */
export function listCodes(
  sql: Sql,
  { after, limit }: { after: { at: string; id: string } | null; limit: number },
): Promise<ListedCode[]> {
  const older =
    after === null
      ? sql``
      : sql`where (created_at, id) < (${after.at}::text::timestamptz, ${after.id})`
  return sql<ListedCode[]>`
    select id, code, amount_fen as "amountFen", total_uses as "totalUses", used,
      starts_at as "startsAt", expires_at as "expiresAt", enabled, note, created_at as "createdAt"
    from redemption_codes
    ${older}
    order by created_at desc, id desc
    limit ${limit}
  `
}
