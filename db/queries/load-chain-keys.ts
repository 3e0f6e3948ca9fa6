import { arrayText } from "../array.ts"
import type { Sql } from "../connection.ts"

/** The keys of the accounts that have a snapshot, as the flush of their opening left them there. */
export async function loadChainKeys(
  sql: Sql,
  accountIds: readonly string[],
): Promise<{ accountId: string; chainKey: string }[]> {
  return await sql<{ accountId: string; chainKey: string }[]>`
    select account_id as "accountId", chain_key as "chainKey" from account_snapshots
    where account_id = any(${arrayText(accountIds)}::text::text[])
  `
}
