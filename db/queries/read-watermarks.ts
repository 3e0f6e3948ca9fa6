import type { Sql } from "../connection.ts"

/** How far Postgres has the stream of one partition. */
export type Watermark = {
  partition: number
  generation: number
  /** Whether the generation was ever opened in Redis; until then there is nothing to lose. */
  isOpen: boolean
  /** Number and random id of the last entry that is committed. */
  entryNumber: number
  entryId: string
  /** Change records that are committed, over all generations. */
  records: number
}

/** The watermarks of all partitions, of one moment, in the order of their numbers. */
export async function readWatermarks(sql: Sql): Promise<Watermark[]> {
  const rows = await sql<
    (Omit<Watermark, "entryNumber" | "records"> & Record<"entryNumber" | "records", string>)[]
  >`
    select partition, generation, is_open as "isOpen", entry_number as "entryNumber",
      entry_id as "entryId", records
    from partitions order by partition
  `
  return rows.map((row) => ({
    ...row,
    entryNumber: Number(row.entryNumber),
    records: Number(row.records),
  }))
}
