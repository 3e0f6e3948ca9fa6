import type { Sql } from "../connection.ts"

/** The partitions whose generation is known to have lost what was answered: it must not go on. */
export async function listDistrusted(sql: Sql): Promise<{ partition: number; detail: string }[]> {
  return await sql<{ partition: number; detail: string }[]>`
    select distinct on (p.partition) p.partition, i.detail
    from partitions p join incidents i on i.partition = p.partition
      and i.generation = p.generation and i.kind in ('records_lost', 'stream_diverged')
    order by p.partition, i.id
  `
}
