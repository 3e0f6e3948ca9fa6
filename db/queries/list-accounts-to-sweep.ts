import type { Sql } from "../connection.ts"

/**
 * Accounts with an instruction that is older than `ageMs` and not flushed: its request died before
 * it was applied, or its flush is late. Applying it again is harmless.
 */
export async function listAccountsToSweep(
  sql: Sql,
  { ageMs, limit }: { ageMs: number; limit: number },
): Promise<string[]> {
  const rows = await sql<{ accountId: string }[]>`
    select account_id as "accountId" from instructions
    where not flushed and created_at < now() - ${ageMs} * interval '1 millisecond'
    group by account_id order by min(created_at) limit ${limit}
  `
  return rows.map((row) => row.accountId)
}
