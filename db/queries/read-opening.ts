import type { Sql } from "../connection.ts"

/**
 * How the ledger was last opened. Callers may rely on: the opening number and the generations are
 * of one moment, and one generation stands for each partition, in the order of their numbers.
 */
export async function readOpening(sql: Sql): Promise<{
  opening: number
  partitions: number
  generations: number[]
}> {
  const rows = await sql<{ opening: string; partitions: number; generations: string }[]>`
    select l.opening, l.partitions, string_agg(p.generation::text, ',' order by p.partition) as generations
    from ledger l join partitions p on p.partition < l.partitions
    group by l.opening, l.partitions
  `
  const [row] = rows
  if (row === undefined) throw new Error("The ledger has not been opened yet.")
  const generations = row.generations.split(",").map(Number)
  return { opening: Number(row.opening), partitions: row.partitions, generations }
}
