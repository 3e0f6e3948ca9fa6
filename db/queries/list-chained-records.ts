import type { Sql } from "../connection.ts"

/** A record as the hash chain has it. */
export type StoredRecord = {
  position: string
  accountId: string
  seq: string
  type: number
  kind: string
  amountFen: string
  balanceBeforeFen: string
  balanceAfterFen: string
  description: string
  atMs: string
  interface: string | null
  quantity: number | null
  keyId: string | null
  sourceId: string | null
  requestId: string | null
  slot: string | null
  batch: string | null
  /** Empty where the account has no snapshot, or was given no key. */
  chainKey: string
}

/** The records of a partition at the positions above `after`, up to `through`, in their order. */
export async function listChainedRecords(
  sql: Sql,
  { partition, after, through }: { partition: number; after: number; through: number },
): Promise<StoredRecord[]> {
  return await sql<StoredRecord[]>`
    select r.position, r.account_id as "accountId", r.seq, r.type, r.kind,
      r.amount_fen as "amountFen", r.balance_before_fen as "balanceBeforeFen",
      r.balance_after_fen as "balanceAfterFen", r.description,
      (extract(epoch from r.at) * 1000)::bigint as "atMs", r.interface, r.quantity,
      r.key_id as "keyId", r.source_id as "sourceId", r.request_id as "requestId", r.slot, r.batch,
      coalesce(s.chain_key, '') as "chainKey"
    from change_records r left join account_snapshots s on s.account_id = r.account_id
    where r.partition = ${partition} and r.position > ${after} and r.position <= ${through}
    order by r.position, r.at
  `
}
