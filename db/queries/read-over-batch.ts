import type { Sql } from "../connection.ts"

/** What a batch of a generation that is over has left in the record. */
export type OverCharge = {
  accountId: string
  seq: number
  at: Date
  /** Of its stored result; null where the request had no Idempotency-Key, or it has lapsed. */
  digest: string | null
}

/**
 * The charges and captures that one batch wrote, in a generation that is over and drained; null while
 * it is not. `afterRecords`, `throughRecords`: what was written before the batch was sent and by when it had
 * been decided, so that little is searched.
 *
 * Callers may rely on: all of them, because nothing is written to a generation once it is over.
 */
export async function readOverBatch(
  sql: Sql,
  batch: {
    partition: number
    generation: number
    slot: string
    number: number
    afterRecords: number
    throughRecords?: number | undefined
  },
): Promise<OverCharge[] | null> {
  const { partition, generation, slot, number, afterRecords } = batch
  const throughRecords = batch.throughRecords ?? null
  const [over] = await sql<{ lastRecords: string | null }[]>`
    select last_records as "lastRecords" from generations
    where partition = ${partition} and generation = ${generation}
  `
  if (over === undefined || over.lastRecords === null) return null
  return await sql<OverCharge[]>`
    select r.account_id as "accountId", r.seq::float8 as seq, r.at, i.digest
    from change_records r
    left join idempotency_results i on i.account_id = r.account_id and i.seq = r.seq
    where r.partition = ${partition} and r.position > ${afterRecords}
      and r.position <= least(${over.lastRecords}::bigint, ${throughRecords}::bigint)
      and r.slot = ${slot} and r.batch = ${number} and r.kind in ('charge', 'capture')
    order by r.position
  `
}
