import type { Sql } from "../connection.ts"

/** What a rebuild gives Redis of a request with an Idempotency-Key. */
export type StoredResult = {
  accountId: string
  seq: string
  atMs: number
  digest: string
  /** 6 bytes, in base64. */
  fingerprint: string
  heldFen: string
  told: boolean
  balanceFen: string
  amountFen: string
  kind: string
  keyId: string | null
  interface: string | null
  quantity: number | null
  requestId: string | null
  description: string
}

/**
 * One page of a partition's results that are younger than `ttlMs`, after one of them, the oldest first.
 * Callers may rely on: of a charge that was taken back there is none; and a page costs the same at the end
 * as at the beginning, because it is cut out along the index by time, before its records are looked up.
 */
export async function listStoredResults(
  sql: Sql,
  {
    partition,
    after,
    ttlMs,
    limit,
  }: {
    partition: number
    after: { atMs: number; accountId: string; seq: string }
    ttlMs: number
    limit: number
  },
): Promise<StoredResult[]> {
  return await sql<StoredResult[]>`
    with page as materialized (
      select * from idempotency_results
      where partition = ${partition} and at > now() - ${ttlMs} * interval '1 millisecond'
        and at >= timestamptz 'epoch' + ${after.atMs} * interval '1 millisecond'
        and (at, account_id, seq) > (timestamptz 'epoch' + ${after.atMs} * interval '1 millisecond',
          ${after.accountId}, ${after.seq}::bigint)
      order by at, account_id, seq limit ${limit}
    )
    select i.account_id as "accountId", i.seq, (extract(epoch from i.at) * 1000)::float8 as "atMs",
      i.digest, i.fingerprint, i.held_fen as "heldFen", i.told, r.balance_after_fen as "balanceFen",
      r.amount_fen as "amountFen", r.kind, r.key_id as "keyId", r.interface, r.quantity,
      r.request_id as "requestId", r.description
    from page i
    join change_records r on r.account_id = i.account_id and r.seq = i.seq and r.at = i.at
    order by i.at, i.account_id, i.seq
  `
}
