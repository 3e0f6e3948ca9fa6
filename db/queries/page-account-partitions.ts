import type { Sql } from "../connection.ts"

/** A page of accounts with their partitions, by id, after one of them. */
export async function pageAccountPartitions(
  sql: Sql,
  { after, limit }: { after: string; limit: number },
): Promise<{ accountId: string; partition: number }[]> {
  return await sql<{ accountId: string; partition: number }[]>`
    select account_id as "accountId", partition from account_snapshots
    where account_id > ${after} order by account_id limit ${limit}
  `
}
