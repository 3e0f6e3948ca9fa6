import type { Sql } from "../connection.ts"

/**
 * Makes the ledger's row and one watermark per partition on a fresh database. Callers may rely on:
 * an existing ledger is left as it is, whatever number is asked for; answers the number in force.
 */
export async function createLedgerRows(sql: Sql, partitions: number): Promise<number> {
  const rows = await sql<{ partitions: number }[]>`
    with made as (
      insert into ledger (id, partitions) values (true, ${partitions})
      on conflict (id) do nothing returning partitions
    ), watermarks as (
      insert into partitions (partition)
      select n from made, generate_series(0, made.partitions - 1) n returning 1
    )
    select coalesce((select partitions from made), (select partitions from ledger)) as partitions
  `
  return rows[0]?.partitions ?? partitions
}
