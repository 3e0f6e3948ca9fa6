import type { Sql } from "../connection.ts"

/** What a process saw of a generation, and what was there of it when Redis was opened anew. */
export type SeenBefore = {
  partition: number
  generation: number
  opening: number
  /** Under which it was seen. */
  seenOpening: number
  entryNumber: number
  records: number
  hadEntry: number
  hadRecords: number
}

/**
 * The notes (`noteSeen`) that nobody has looked at yet. Where the generation was found to have lost
 * something at an earlier opening, what was seen before that one is compared with what was there then: it
 * is the same loss, and what was written since under the same numbers is something else.
 */
export async function listLosses(sql: Sql): Promise<SeenBefore[]> {
  return await sql<SeenBefore[]>`
    select l.partition, l.generation, l.opening::float8 as opening,
      l.seen_opening::float8 as "seenOpening",
      l.entry_number::float8 as "entryNumber", l.records::float8 as records,
      coalesce(f.had_entry, l.had_entry)::float8 as "hadEntry",
      coalesce(f.had_records, l.had_records)::float8 as "hadRecords"
    from losses l
    left join lateral (
      select e.had_entry, e.had_records from losses e
      where e.partition = l.partition and e.generation = l.generation
        and e.entry_number > e.had_entry and l.entry_number > l.had_entry
        and e.opening > l.seen_opening
      order by e.opening limit 1
    ) f on true
    where not l.handled
    order by l.partition, l.generation, l.opening, l.seen_opening
  `
}
