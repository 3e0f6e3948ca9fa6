import type { Sql } from "../connection.ts"

/**
 * Ends a partition's generation, which has been drained, and begins the one that was claimed and
 * built. Callers may rely on: it happens only if nobody has claimed since and nothing was flushed since
 * (false otherwise); from then on no flush of the generation before can commit.
 */
export async function switchGeneration(
  sql: Sql,
  {
    partition,
    from,
    claim,
    genesis,
  }: {
    partition: number
    from: { generation: number; entryNumber: number; entryId: string }
    claim: number
    genesis: string
  },
): Promise<boolean> {
  const rows = await sql`
    with moved as (
      update partitions
      set generation = ${claim}, is_open = false, entry_number = 0, entry_id = ${genesis}
      where partition = ${partition} and claimed = ${claim} and generation = ${from.generation}
        and entry_number = ${from.entryNumber} and entry_id = ${from.entryId}
      returning records
    ), ended as (
      update generations g
      set last_entry = ${from.entryNumber}, last_records = moved.records, ended_at = now()
      from moved where g.partition = ${partition} and g.generation = ${from.generation}
    )
    insert into generations (partition, generation, records_before)
    select ${partition}::integer, ${claim}::integer, records from moved
    returning 1
  `
  return rows.length === 1
}
