import type { Sql } from "../connection.ts"

export type StoredChain = {
  /** What the watermark counts, also from before the chain. */
  records: number
  chainStart: number
  /** In hex; empty where the chain has no record yet. */
  chainHead: string
  /** Records that stand at positions above the watermark. */
  beyond: number
}

/** Where the hash chain of a partition stands, and what is there beyond it, in one moment. */
export async function readChain(sql: Sql, partition: number): Promise<StoredChain> {
  const [row] = await sql<StoredChain[]>`
    select p.records::float8 as records, p.chain_start::float8 as "chainStart",
      p.chain_head as "chainHead",
      (select count(*) from change_records r
        where r.partition = p.partition and r.position > p.records)::float8 as beyond
    from partitions p where p.partition = ${partition}
  `
  if (row === undefined) throw new Error(`Postgres has no partition ${partition}`)
  return row
}
