import type { Sql } from "../connection.ts"

/**
 * Claims the next generation of a partition, by compare-and-set. Callers may rely on: of several
 * that claim from the same generation, one is told true, and only its keys will be believed.
 */
export async function claimGeneration(
  sql: Sql,
  { partition, from, genesis }: { partition: number; from: number; genesis: string },
): Promise<boolean> {
  const rows = await sql`
    update partitions
    set generation = ${from + 1}, is_open = false, entry_number = 0, entry_id = ${genesis}
    where partition = ${partition} and generation = ${from}
    returning 1
  `
  return rows.length === 1
}
