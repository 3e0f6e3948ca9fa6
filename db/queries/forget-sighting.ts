import type { Sql } from "../connection.ts"
import type { Sighting } from "./note-sighting.ts"

/** It was compared. One that has risen since stays. */
export async function forgetSighting(
  sql: Sql,
  { partition, generation, opening, entryNumber }: Omit<Sighting, "records">,
): Promise<void> {
  await sql`
    delete from sightings
    where partition = ${partition} and generation = ${generation} and opening = ${opening}
      and entry_number = ${entryNumber}
  `
}
