import { arrayText } from "../array.ts"
import type { Sql } from "../connection.ts"

/** Forgets drifts of accounts that agree again; answers those that were known. */
export async function clearDrifts(sql: Sql, accountIds: readonly string[]): Promise<string[]> {
  const rows = await sql<{ accountId: string }[]>`
    delete from drifts where account_id = any(${arrayText(accountIds)}::text::text[])
    returning account_id as "accountId"
  `
  return rows.map(({ accountId }) => accountId)
}
