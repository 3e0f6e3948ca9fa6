import type { Sql } from "../connection.ts"

/**
 * Notes that a generation runs in Redis, under which opening of its node, and where its stream stood
 * then. From here on processes use it, and a Redis without it has lost data.
 */
export async function markOpen(
  sql: Sql,
  opened: {
    partition: number
    generation: number
    opening: number
    entryNumber: number
    records: number
  },
): Promise<void> {
  const { partition, generation, opening, entryNumber, records } = opened
  await sql`
    update partitions
    set is_open = true, opening = ${opening}, opened_entry = ${entryNumber},
      opened_records = ${records}
    where partition = ${partition} and generation = ${generation}
  `
}
