import type { Sql } from "../../db/connection.ts"
import { readFlushedBalance } from "../../db/queries/read-flushed-balance.ts"
import { type RedeemRow, redeemCode } from "../../db/queries/redeem-code.ts"
import { type AttemptRule, attemptKey, type TooMany, tooMany } from "../http/attempts.ts"
import { violatedIndexOf } from "../http/failure.ts"
import { type AccountId, newId } from "../ids.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { FAILED_ATTEMPTS_MAX, FAILED_ATTEMPTS_WINDOW_MS, RACES_MAX } from "../limits.ts"
import { AMOUNT_FEN_MAX, type Fen, parseFen } from "../money.ts"

export type RedeemOutcome =
  | {
      status: "redeemed"
      redemptionId: string
      amountFen: Fen
      balanceFen: Fen
      isApplied: boolean
    }
  | {
      status:
        | "code_not_found"
        | "already_redeemed"
        | "code_not_active"
        | "code_used_up"
        | "balance_too_large"
        | "contended"
    }
  | TooMany

export type RedemptionDeps = {
  sql: Sql
  ledger: Pick<Ledger, "applyPending">
}

const UNKNOWN_CODES: AttemptRule = {
  name: "redemption",
  max: FAILED_ATTEMPTS_MAX,
  windowMs: FAILED_ATTEMPTS_WINDOW_MS,
}

export function createRedemption({ sql, ledger }: RedemptionDeps) {
  /**
   * Redeems a code (upper case). The amount is spendable when this answers `isApplied`; else the
   * ledger could not be reached, the credit follows by itself, and `balanceFen` is the balance as
   * it was last flushed, without it.
   */
  async function redeem({
    accountId,
    code,
  }: {
    accountId: AccountId
    code: string
  }): Promise<RedeemOutcome> {
    const redemptionId = newId("rdm")
    const row = await redeemUnraced({ redemptionId, accountId, code })
    switch (row.status) {
      case "redeemed":
        break
      case "rate_limited":
        return tooMany(UNKNOWN_CODES, row.secondsLeft)
      case "raced":
        return { status: "contended" }
      default:
        return { status: row.status }
    }
    const amountFen = parseFen(row.amountFen)
    const applied = await ledger.applyPending(accountId)
    if (applied.status === "applied") {
      const { balanceFen } = applied.account
      return { status: "redeemed", redemptionId, amountFen, balanceFen, isApplied: true }
    }
    const balanceFen = parseFen(await readFlushedBalance(sql, accountId))
    return { status: "redeemed", redemptionId, amountFen, balanceFen, isApplied: false }
  }

  async function redeemUnraced(asked: {
    redemptionId: string
    accountId: AccountId
    code: string
  }): Promise<RedeemRow> {
    const { max, windowMs } = UNKNOWN_CODES
    const attempts = { key: attemptKey(UNKNOWN_CODES, asked.accountId), max, windowMs }
    for (let races = 1; ; races++) {
      try {
        const row = await redeemCode(sql, { ...asked, attempts, balanceFenMax: AMOUNT_FEN_MAX })
        if (row.status !== "raced" || races === RACES_MAX) return row
      } catch (error) {
        if (violatedIndexOf(error) !== "redemptions_once_per_account") throw error
        return { status: "already_redeemed", amountFen: null, secondsLeft: null }
      }
    }
  }

  return { redeem }
}
