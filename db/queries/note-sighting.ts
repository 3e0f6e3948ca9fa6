import type { Sql } from "../connection.ts"

/** The highest entry that somebody saw of a generation under an opening, and the records written by then. */
export type Sighting = {
  partition: number
  generation: number
  opening: number
  entryNumber: number
  records: number
}

/**
 * Notes what a process has seen, as soon as it cannot go on: it may end before it hears what became of
 * Redis. Callers may rely on: of several the highest stays.
 */
export async function noteSighting(
  sql: Sql,
  { partition, generation, opening, entryNumber, records }: Sighting,
): Promise<void> {
  await sql`
    insert into sightings as s (partition, generation, opening, entry_number, records)
    values (${partition}, ${generation}, ${opening}, ${entryNumber}, ${records})
    on conflict (partition, generation, opening) do update
    set entry_number = excluded.entry_number, records = excluded.records
    where excluded.entry_number > s.entry_number
  `
}
