import type { Sql } from "../connection.ts"
import type { Sighting } from "./note-sighting.ts"

/**
 * The sightings that can be compared: their generation is over, or its node was opened anew since.
 * `nextOpening` is the one that the partition has.
 */
export async function listSightings(sql: Sql): Promise<(Sighting & { nextOpening: number })[]> {
  return await sql<(Sighting & { nextOpening: number })[]>`
    select s.partition, s.generation, s.opening::float8 as opening,
      s.entry_number::float8 as "entryNumber", s.records::float8 as records,
      p.opening::float8 as "nextOpening"
    from sightings s
    join partitions p on p.partition = s.partition and p.is_open
    where p.opening > s.opening or (p.opening = s.opening and p.generation > s.generation)
    order by s.partition, s.generation, s.opening
  `
}
