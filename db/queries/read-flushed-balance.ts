import type { Sql } from "../connection.ts"

/** An account's balance as of the last flush, as digits; "0" where nothing was flushed yet. */
export async function readFlushedBalance(sql: Sql, accountId: string): Promise<string> {
  const rows = await sql<{ balanceFen: string }[]>`
    select balance_fen as "balanceFen" from account_snapshots where account_id = ${accountId}
  `
  return rows[0]?.balanceFen ?? "0"
}
