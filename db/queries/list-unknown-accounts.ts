import type { Sql } from "../connection.ts"

/** Those of the ids (an array literal) that no snapshot has. */
export async function listUnknownAccounts(sql: Sql, accountIds: string): Promise<string[]> {
  const rows = await sql<{ accountId: string }[]>`
    select asked.id as "accountId" from unnest(${accountIds}::text::text[]) as asked(id)
    where not exists (select 1 from account_snapshots s where s.account_id = asked.id)
  `
  return rows.map(({ accountId }) => accountId)
}
