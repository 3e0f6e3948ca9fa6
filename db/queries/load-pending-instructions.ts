import type { Sql } from "../connection.ts"

export type PendingInstruction = {
  number: number
  kind: string
  amountFen: string
  authVersion: number
  sourceId: string | null
  description: string
}

/**
 * The instructions of one account whose stream record Postgres does not have yet,
 * above `after`, lowest first.
 * Callers may rely on: no gap, because an instruction is flushed only after the one before it.
 */
export function loadPendingInstructions(
  sql: Sql,
  { accountId, after, limit }: { accountId: string; after: number; limit: number },
): Promise<PendingInstruction[]> {
  return sql<PendingInstruction[]>`
    select number, kind, amount_fen as "amountFen", auth_version as "authVersion",
      source_id as "sourceId", description
    from instructions
    where account_id = ${accountId} and number > greatest(${after}, (
      select instruction_number from account_snapshots where account_id = ${accountId}))
    order by number
    limit ${limit}
  `
}
