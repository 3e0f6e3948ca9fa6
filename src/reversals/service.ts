import { and, eq, gte } from "drizzle-orm"
import type { Database, Sql } from "../../db/connection.ts"
import { type ReversalRow, reverseCharge } from "../../db/queries/reverse-charge.ts"
import { changeRecords } from "../../db/schema.ts"
import type { ChangeRecord } from "../http/change.ts"
import { violatedIndexOf } from "../http/failure.ts"
import { type ChargeName, parseChargeId } from "../ids.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { REVERSAL_CHARGE_WAIT_MS, REVERSAL_POLL_MS, REVERSAL_RECORD_WAIT_MS } from "../limits.ts"
import { AMOUNT_FEN_MAX } from "../money.ts"

/** `not_flushed`: nothing was reversed yet. `recorded`: it is, and the amount follows by itself. */
export type ReverseOutcome =
  | { status: "reversed"; record: ChangeRecord; isReplay: boolean }
  | { status: "recorded" }
  | { status: Exclude<ReversalRow["status"], "reversed"> }

export type ReversalDeps = {
  sql: Sql
  db: Database
  ledger: Pick<Ledger, "applyPending" | "readAccount">
}

type Asked = { chargeId: string; serviceKeyId: string; idempotencyKey: string | null }

export function createReversals({ sql, db, ledger }: ReversalDeps) {
  /** Gives back what a charge took, in full, once. A repeat with the same key is answered again. */
  async function reverse(asked: Asked): Promise<ReverseOutcome> {
    const { chargeId, serviceKeyId, idempotencyKey } = asked
    const charge = parseChargeId(chargeId)
    if (charge === null) return { status: "not_found" }
    const idempotencyDigest =
      idempotencyKey === null ? null : digestOf({ serviceKeyId, idempotencyKey })
    const reversal = { ...charge, chargeId, serviceKeyId, idempotencyDigest }
    const row = await decide({ ...reversal, balanceFenMax: AMOUNT_FEN_MAX })
    const isReplay =
      row.status === "already_reversed" &&
      idempotencyDigest !== null &&
      row.idempotencyDigest === idempotencyDigest
    if (row.status !== "reversed" && !isReplay) return { status: row.status }
    const record = await carryOut(chargeId, charge)
    return record === null ? { status: "recorded" } : { status: "reversed", record, isReplay }
  }

  /** Waits until Postgres has got as far as the charge: only then it is known what to give back. */
  async function decide(reversal: Parameters<typeof reverseCharge>[1]): Promise<ReversalRow> {
    const row = await until(REVERSAL_CHARGE_WAIT_MS, async () => {
      const { status, ...rest } = await reverseUnraced(reversal)
      if (status !== "not_flushed") return { status, ...rest }
      return (await isAhead(reversal)) ? null : { status: "not_found", idempotencyDigest: null }
    })
    return row ?? { status: "not_flushed", idempotencyDigest: null }
  }

  async function reverseUnraced(reversal: Parameters<typeof reverseCharge>[1]) {
    try {
      return await reverseCharge(sql, reversal)
    } catch (error) {
      // Somebody else has reversed it in the same instant: the row is there now.
      if (violatedIndexOf(error) !== "reversals_pkey") throw error
      return await reverseCharge(sql, reversal)
    }
  }

  /** Whether Redis may have the charge: it has not, where the account has not come so far. */
  async function isAhead({ accountId, seq }: ChargeName): Promise<boolean> {
    const outcome = await ledger.readAccount(accountId)
    return outcome.status !== "found" || outcome.account.seq >= seq
  }

  async function carryOut(chargeId: string, { from }: ChargeName): Promise<ChangeRecord | null> {
    const { accountId } = parseChargeId(chargeId) ?? {}
    return null
  }
}
