import type { Sql } from "../connection.ts"

export type Snapshot = {
  accountId: string
  partition: number
  balanceFen: string
  lastSeq: string
  instruction: number
  authVersion: number
  status: string
}

/** A page of snapshots after `after`, by account id, so that pages neither overlap nor skip. */
export async function listSnapshots(
  sql: Sql,
  page: { accountIds: string | null; after: string; limit: number },
): Promise<Snapshot[]> {
  const { accountIds, after, limit } = page
  return await sql<Snapshot[]>`
    select account_id as "accountId", partition, balance_fen as "balanceFen", last_seq as "lastSeq",
      instruction_number as instruction, auth_version as "authVersion", status
    from account_snapshots
    where account_id > ${after}
      and (${accountIds}::text is null or account_id = any(${accountIds}::text::text[]))
    order by account_id limit ${limit}
  `
}
