import type { Sql } from "../connection.ts"

/** What Postgres says of a partition in use, for people who look after it. */
export type PartitionState = {
  partition: number
  generation: number
  claimed: number
  isOpen: boolean
  isRefilling: boolean
  stoppedBecause: string | null
  opening: number
  entryNumber: number
  records: number
  flushedAt: Date | null
  chainStart: number
  reconciledPosition: number
  driftFen: number
  checkedAt: Date | null
}

/** Every partition in use, of one moment, in the order of their numbers. */
export async function listPartitionStates(sql: Sql): Promise<PartitionState[]> {
  return await sql<PartitionState[]>`
    select p.partition, p.generation, p.claimed, p.is_open as "isOpen",
      p.is_refilling as "isRefilling", p.stopped_because as "stoppedBecause",
      p.opening::float8 as opening, p.entry_number::float8 as "entryNumber",
      p.records::float8 as records, p.flushed_at as "flushedAt",
      p.chain_start::float8 as "chainStart",
      coalesce(r.reconciled_position, 0)::float8 as "reconciledPosition",
      coalesce(r.drift_fen, 0)::float8 as "driftFen", r.checked_at as "checkedAt"
    from partitions p join ledger l on p.partition < l.partitions
    left join reconciliation r using (partition)
    order by p.partition
  `
}
