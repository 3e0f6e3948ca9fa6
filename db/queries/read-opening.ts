import type { Sql } from "../connection.ts"

/**
 * How the ledger was last opened. Callers may rely on: opening numbers and generations are of one
 * moment, and stand in the order of the partitions' numbers. An opening of 0: not opened yet.
 */
export async function readOpening(sql: Sql): Promise<{
  partitions: number
  generations: number[]
  openings: number[]
}> {
  const rows = await sql<{ partitions: number; generations: string; openings: string }[]>`
    select l.partitions,
      string_agg(p.generation::text, ',' order by p.partition) as generations,
      string_agg(p.opening::text, ',' order by p.partition) as openings
    from ledger l join partitions p on p.partition < l.partitions
    group by l.partitions
  `
  const [row] = rows
  if (row === undefined) throw new Error("The ledger has not been opened yet.")
  const generations = row.generations.split(",").map(Number)
  return { partitions: row.partitions, generations, openings: row.openings.split(",").map(Number) }
}
