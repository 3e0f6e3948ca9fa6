import type { Sql } from "../connection.ts"

/**
 * Notes the highest entry that a process has seen of a generation under `seenOpening`, once it learns of a
 * later opening, beside where the generation stood then. Callers may rely on: of all notes of the same two
 * openings the highest stays, it is looked at again, and what it is compared with stays as the first note
 * found it; but where that had lost nothing, and the generation has ended since, it is compared with where
 * that ended.
 */
export async function noteSeen(
  sql: Sql,
  seen: {
    partition: number
    generation: number
    opening: number
    seenOpening: number
    entryNumber: number
    records: number
  },
): Promise<void> {
  const { partition, generation, opening, seenOpening, entryNumber, records } = seen
  await sql`
    insert into losses as l (partition, generation, opening, seen_opening, entry_number, records,
      had_entry, had_records)
    select ${partition}, ${generation}, ${opening}, ${seenOpening}, ${entryNumber}, ${records},
      coalesce(g.last_entry, p.opened_entry), coalesce(g.last_records, p.opened_records)
    from partitions p
    left join generations g on g.partition = p.partition and g.generation = ${generation}
    where p.partition = ${partition}
    on conflict (partition, generation, opening, seen_opening) do update
    set entry_number = greatest(l.entry_number, excluded.entry_number),
      records = greatest(l.records, excluded.records), handled = false, at = now(),
      (had_entry, had_records) = (
        select coalesce(max(g.last_entry), l.had_entry), coalesce(max(g.last_records), l.had_records)
        from generations g
        where g.partition = l.partition and g.generation = l.generation
          and l.entry_number <= l.had_entry
      )
    where excluded.entry_number > l.entry_number
      or (l.entry_number <= l.had_entry and excluded.entry_number > excluded.had_entry)
  `
}
