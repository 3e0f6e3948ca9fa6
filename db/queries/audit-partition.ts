import type { Sql } from "../connection.ts"

/** What one partition's books say at one moment; sums as text, in fen. */
export type PartitionBooks = {
  partition: number
  /** What the watermark counts, and the time of the record at it. */
  records: number
  through: Date | null
  /** Records that stand above the watermark, and the highest position of all. */
  beyond: number
  highest: number
  /** What the counter-accounts say that accounts have together, and what their snapshots say. */
  countersFen: string
  snapshotsFen: string
  counters: readonly { kind: string; creditFen: string; debitFen: string }[]
}

/**
 * The books of every partition that there is or was. Callers may rely on: all of one moment, so that
 * what is flushed meanwhile is in all of it or in none.
 */
export async function auditPartitions(sql: Sql): Promise<PartitionBooks[]> {
  return await sql<PartitionBooks[]>`
    with recursive named as (
      (select min(partition) as partition from change_records)
      union all
      select (select min(r.partition) from change_records r where r.partition > named.partition)
      from named where named.partition is not null
    ), counted as (
      select partition, sum(debit_fen - credit_fen) as fen,
        json_agg(json_build_object('kind', kind, 'creditFen', credit_fen::text,
          'debitFen', debit_fen::text) order by kind) as counters
      from counter_accounts group by partition
    ), held as (
      select partition, sum(balance_fen) as fen from account_snapshots group by partition
    )
    select partition, coalesce(p.records, 0)::float8 as records,
      (select max(at) from change_records r where r.partition = all_of.partition
        and r.position = p.records) as through,
      (select count(*) from change_records r where r.partition = all_of.partition
        and r.position > coalesce(p.records, 0))::float8 as beyond,
      (select coalesce(max(position), 0) from change_records r
        where r.partition = all_of.partition)::float8 as highest,
      coalesce(c.fen, 0)::text as "countersFen", coalesce(h.fen, 0)::text as "snapshotsFen",
      coalesce(c.counters, '[]') as counters
    from (
      select partition from partitions union select partition from named where partition is not null
      union select partition from counted union select partition from held
    ) all_of
    left join partitions p using (partition)
    left join counted c using (partition)
    left join held h using (partition)
    order by partition
  `
}
