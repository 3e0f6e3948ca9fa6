import type { Sql } from "../connection.ts"

/**
 * All credits less all debits, in fen, of the trial balance that other services read. Callers may
 * rely on: zero at every moment, whatever is being flushed (promise 10).
 */
export async function auditTrialBalance(sql: Sql): Promise<string> {
  const [row] = await sql<{ fen: string }[]>`
    select coalesce(sum(credit_fen - debit_fen), 0)::text as fen from reporting.trial_balance
  `
  return row?.fen ?? "unknown"
}
