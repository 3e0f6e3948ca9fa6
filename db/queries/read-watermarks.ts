import type { Sql } from "../connection.ts"

/** How far Postgres has the stream of one partition, and how that was opened in Redis. */
export type Watermark = {
  partition: number
  generation: number
  /** The highest generation that anybody has begun to build. */
  claimed: number
  /** Whether the generation was ever opened in Redis; until then there is nothing to lose. */
  isOpen: boolean
  /** Number and random id of the last entry that is committed. */
  entryNumber: number
  entryId: string
  /** Change records that are committed, over all generations. */
  records: number
  /** The opening of its node, and the last entry and records written that Redis had then. */
  opening: number
  openedEntry: number
  openedRecords: number
  /** Of the server that answers: another after a restart, a fail-over, or where a back-up was put back. */
  server: string
  /** Postgres was restored, and is being filled up again from the stream. */
  isRefilling: boolean
  /** Last hash of the chain over the records after the first `chainStart`: hex, empty without any. */
  chainHead: string
  chainStart: number
}

type Counts = "entryNumber" | "records" | "opening" | "openedEntry" | "openedRecords" | "chainStart"

/**
 * The watermarks of all partitions, of one moment, in the order of their numbers. Callers may rely on:
 * while `server` is the same, nothing that was committed is gone.
 */
export async function readWatermarks(sql: Sql): Promise<Watermark[]> {
  const rows = await sql<(Omit<Watermark, Counts> & Record<Counts, string>)[]>`
    select p.partition, p.generation, p.claimed, p.is_open as "isOpen",
      p.entry_number as "entryNumber", p.entry_id as "entryId", p.records, p.opening,
      p.opened_entry as "openedEntry", p.opened_records as "openedRecords",
      p.is_refilling as "isRefilling", p.chain_head as "chainHead", p.chain_start as "chainStart",
      concat_ws(' ', extract(epoch from pg_postmaster_start_time()),
        (select d.oid from pg_database d where d.datname = current_database()),
        pg_relation_filenode('partitions')) as server
    from partitions p join ledger l on p.partition < l.partitions
    order by p.partition
  `
  return rows.map((row) => ({
    ...row,
    entryNumber: Number(row.entryNumber),
    records: Number(row.records),
    opening: Number(row.opening),
    openedEntry: Number(row.openedEntry),
    openedRecords: Number(row.openedRecords),
    chainStart: Number(row.chainStart),
  }))
}
