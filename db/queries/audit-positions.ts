import type { Sql } from "../connection.ts"

export type WrongPositions = {
  partition: number
  watermark: number
  records: number
  distinct: number
  highest: number
}

/**
 * Callers may rely on: in a partition that is not answered, the records have the positions 1 to n,
 * each once, and n is what the watermark counts. The others come with what was found there.
 */
export async function auditPositions(sql: Sql): Promise<WrongPositions[]> {
  return await sql<WrongPositions[]>`
    with found as (
      select partition, count(*) as records, count(distinct position) as positions,
        min(position) as lowest, max(position) as highest
      from change_records group by partition
    )
    select partition, coalesce(p.records, 0)::float8 as watermark,
      coalesce(f.records, 0)::float8 as records, coalesce(f.positions, 0)::float8 as distinct,
      coalesce(f.highest, 0)::float8 as highest
    from partitions p full join found f using (partition)
    where coalesce(p.records, -1) <> coalesce(f.records, 0)
      or f.positions <> f.records or f.lowest <> 1 or f.highest <> f.records
  `
}
