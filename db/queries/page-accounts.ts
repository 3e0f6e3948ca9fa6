import type { Sql } from "../connection.ts"

/**
 * Where a page of `limit` accounts ends that begins after `after`; null where it is the last, and
 * goes up to the highest account of all. Accounts are those with a snapshot or with records.
 */
export async function pageAccounts(
  sql: Sql,
  { after, limit }: { after: string; limit: number },
): Promise<{ through: string; isLast: boolean } | null> {
  const [row] = await sql<{ through: string | null; highest: string | null }[]>`
    select (select account_id from account_snapshots where account_id > ${after}
        order by account_id offset ${limit - 1} limit 1) as through,
      greatest((select max(account_id) from account_snapshots),
        (select max(account_id) from change_records), (select max(account_id) from instructions),
        (select max(account_id) from redemptions)) as highest
  `
  const { through = null, highest = null } = row ?? {}
  if (through !== null) return { through, isLast: through === highest }
  return highest === null || highest <= after ? null : { through: highest, isLast: true }
}
