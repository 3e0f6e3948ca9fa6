import type { Sql } from "../connection.ts"

/** All partitions that have ever had a record, also those from before their number was changed. */
export async function listPartitions(sql: Sql): Promise<number[]> {
  const rows = await sql<{ partition: number }[]>`
    select partition from partitions order by partition
  `
  return rows.map(({ partition }) => partition)
}
