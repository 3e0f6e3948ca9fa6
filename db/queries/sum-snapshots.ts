import type { Sql } from "../connection.ts"

/** How many accounts a partition has, what they hold together, and the time of its last record. */
export async function sumSnapshots(
  sql: Sql,
  partition: number,
): Promise<{ accounts: number; balancesFen: string; lastAtMs: number }> {
  const [row] = await sql<{ accounts: number; balancesFen: string; lastAtMs: number }[]>`
    select count(*)::float8 as accounts, coalesce(sum(balance_fen), 0)::text as "balancesFen",
      coalesce((
        select extract(epoch from r.at) * 1000 from change_records r
        join partitions p on p.partition = r.partition and p.records = r.position
        where r.partition = ${partition}), 0)::float8 as "lastAtMs"
    from account_snapshots where partition = ${partition}
  `
  if (row === undefined) throw new Error("the statement answers one row, always")
  return row
}
