import type { Sql } from "../connection.ts"

/** What a process saw of a generation, and what was there of it when Redis was opened anew. */
export type SeenBefore = {
  partition: number
  generation: number
  opening: number
  entryNumber: number
  records: number
  hadEntry: number
  hadRecords: number
}

/** The notes (`noteSeen`) that nobody has looked at yet. */
export async function listLosses(sql: Sql): Promise<SeenBefore[]> {
  return await sql<SeenBefore[]>`
    select partition, generation, opening::float8 as opening,
      entry_number::float8 as "entryNumber", records::float8 as records,
      had_entry::float8 as "hadEntry", had_records::float8 as "hadRecords"
    from losses where not handled
    order by partition, generation, opening
  `
}
