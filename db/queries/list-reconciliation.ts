import type { Sql } from "../connection.ts"

export type Proof = {
  partition: number
  reconciledPosition: number
  reconciledThrough: Date | null
  driftFen: string
  checkedAt: Date | null
}

/** How far the books of each partition in use are proven, in the order of their numbers. */
export async function listReconciliation(sql: Sql): Promise<Proof[]> {
  return await sql<Proof[]>`
    select p.partition, coalesce(r.reconciled_position, 0)::float8 as "reconciledPosition",
      r.reconciled_through as "reconciledThrough", coalesce(r.drift_fen, 0)::text as "driftFen",
      r.checked_at as "checkedAt"
    from partitions p join ledger l on p.partition < l.partitions
    left join reconciliation r using (partition)
    order by p.partition
  `
}
