import type { Sql } from "../connection.ts"

/** An account as Postgres has it, and how far Postgres has its partition: of one moment. */
export type Snapshot = {
  accountId: string
  partition: number
  balanceFen: string
  lastSeq: string
  instruction: number
  authVersion: number
  status: string
  generation: number
  entryNumber: string
  entryId: string
}

/**
 * A page of snapshots after `after`, by account id, so that pages neither overlap nor skip; or, where
 * `accountIds` is an array literal, of these alone. Callers may rely on: each stands at the watermark
 * that comes with it. Of a partition that is not open, or is being filled up again, there is none.
 */
export async function listSnapshots(
  sql: Sql,
  page: { accountIds: string | null; after: string; limit: number },
): Promise<Snapshot[]> {
  const { accountIds, after, limit } = page
  return await sql<Snapshot[]>`
    select s.account_id as "accountId", s.partition, s.balance_fen as "balanceFen",
      s.last_seq as "lastSeq", s.instruction_number as instruction, s.auth_version as "authVersion",
      s.status, p.generation, p.entry_number as "entryNumber", p.entry_id as "entryId"
    from account_snapshots s
    join ledger l on true
    join partitions p on p.partition = s.partition and p.partition < l.partitions
      and p.is_open and not p.is_refilling
    where s.account_id > ${after}
      and (${accountIds}::text is null or s.account_id = any(${accountIds}::text::text[]))
    order by s.account_id limit ${limit}
  `
}
