import type { Sql } from "../connection.ts"

/**
 * Goes over to a generation that Redis runs and a restored Postgres knows nothing of: the one that
 * begins where the stream before it ended. Callers may rely on: it happens only where the watermark
 * stands at `from` (false otherwise).
 */
export async function adoptGeneration(
  sql: Sql,
  {
    partition,
    from,
    generation,
    genesis,
  }: {
    partition: number
    from: { generation: number; entryNumber: number; entryId: string }
    generation: number
    genesis: string
  },
): Promise<boolean> {
  const rows = await sql`
    with moved as (
      update partitions
      set generation = ${generation}, claimed = greatest(claimed, ${generation}), is_open = true,
        entry_number = 0, entry_id = ${genesis}
      where partition = ${partition} and generation = ${from.generation}
        and entry_number = ${from.entryNumber} and entry_id = ${from.entryId}
      returning records
    ), ended as (
      update generations g
      set last_entry = ${from.entryNumber}, last_records = moved.records, ended_at = now()
      from moved where g.partition = ${partition} and g.generation = ${from.generation}
    )
    insert into generations (partition, generation, records_before)
    select ${partition}::integer, ${generation}::integer, records from moved
    returning 1
  `
  return rows.length === 1
}
