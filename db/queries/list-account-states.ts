import type { Sql } from "../connection.ts"

/** What a rebuild gives Redis of an account. */
export type AccountRow = {
  accountId: string
  balanceFen: string
  lastSeq: string
  instruction: number
  authVersion: number
  status: string
}

/** One page of a partition's accounts, in the order of their ids, after one of them. */
export async function listAccountStates(
  sql: Sql,
  { partition, after, limit }: { partition: number; after: string; limit: number },
): Promise<AccountRow[]> {
  return await sql<AccountRow[]>`
    select account_id as "accountId", balance_fen as "balanceFen", last_seq as "lastSeq",
      instruction_number as instruction, auth_version as "authVersion", status
    from account_snapshots
    where partition = ${partition} and account_id > ${after}
    order by account_id limit ${limit}
  `
}
