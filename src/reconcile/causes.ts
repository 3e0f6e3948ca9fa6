import type { Sql } from "../../db/connection.ts"
import { auditInstructionNumbers } from "../../db/queries/audit-instruction-numbers.ts"
import { auditInstructions } from "../../db/queries/audit-instructions.ts"
import { auditRedemptions } from "../../db/queries/audit-redemptions.ts"
import { auditReversals } from "../../db/queries/audit-reversals.ts"
import { auditUsage } from "../../db/queries/audit-usage.ts"
import type { AccountRange } from "../../db/range.ts"

/**
 * What must agree with the records of an account beside its balance: every credit with its cause, in
 * both directions, and usage with charges. Whoever adds a way for money to come in adds a row: a
 * statement that answers, for a page of accounts, what does not agree, and the sentence for it.
 */
export type Check = { kind: string; find(sql: Sql, page: AccountRange): Promise<string[]> }

export const CHECKS: readonly Check[] = [
  check(
    "instructions and credits",
    auditInstructions,
    (row) =>
      `${row.accountId}: ${row.kind} ${row.sourceId}: ${row.instructions} flushed instructions of ${row.instructionsFen} fen, ${row.records} records of ${row.recordsFen}`,
  ),
  check(
    "instruction numbers",
    auditInstructionNumbers,
    (row) =>
      `${row.accountId}: ${row.flushed} instructions up to ${row.highestFlushed} are flushed, and its snapshot says ${row.snapshotNumber}`,
  ),
  check(
    "redemptions",
    auditRedemptions,
    (row) =>
      `${row.accountId}: redemption ${row.redemptionId}: there are ${row.redemptions}, ordered by ${row.instructions} instructions`,
  ),
  check(
    "reversals",
    auditReversals,
    (row) =>
      `charge ${row.chargeId}: ${row.reversals} reversals ordered by ${row.instructions} instructions, ${row.records} records of it`,
  ),
  check(
    "usage",
    auditUsage,
    (row) =>
      `${row.accountId}: usage of ${row.keyId} ${row.interface} at ${row.hour} is ${row.calls} calls, ${row.amountFen} fen; its charges are ${row.recordsCalls} calls, ${row.recordsFen} fen`,
  ),
]

function check<Row>(
  kind: string,
  find: (sql: Sql, page: AccountRange) => Promise<Row[]>,
  describe: (row: Row) => string,
): Check {
  return { kind, find: async (sql, page) => (await find(sql, page)).map(describe) }
}
