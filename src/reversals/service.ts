import { and, eq, gte } from "drizzle-orm"
import type { Database, Sql } from "../../db/connection.ts"
import {
  type ReversalAsked,
  type ReversalRow,
  reverseCharge,
} from "../../db/queries/reverse-charge.ts"
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

type Reversal = ChargeName & Omit<ReversalAsked, "balanceFenMax">
type Asked = { chargeId: string; serviceKeyId: string; idempotencyKey: string | null }

export function createReversals({ sql, db, ledger }: ReversalDeps) {
  /** Gives back what a charge took, in full, once. A repeat with the same key is answered again. */
  async function reverse(asked: Asked): Promise<ReverseOutcome> {
    const { chargeId, serviceKeyId } = asked
    const charge = parseChargeId(chargeId)
    if (charge === null) return { status: "not_found" }
    const idempotencyDigest = digestOf(asked)
    const row = await decide({ ...charge, chargeId, serviceKeyId, idempotencyDigest })
    const isReplay =
      row.status === "already_reversed" &&
      idempotencyDigest !== null &&
      row.idempotencyDigest === idempotencyDigest
    if (row.status !== "reversed" && !isReplay) return { status: row.status }
    const record = await carryOut(chargeId, charge)
    return record === null ? { status: "recorded" } : { status: "reversed", record, isReplay }
  }

  /** Waits until Postgres has got as far as the charge: what it took is known from there alone. */
  async function decide(reversal: Reversal): Promise<ReversalRow> {
    const row = await until(REVERSAL_CHARGE_WAIT_MS, async () => {
      const decided = await reverseUnraced(reversal)
      if (decided.status !== "not_flushed") return decided
      return (await mayBeThere(reversal)) ? null : { ...decided, status: "not_found" as const }
    })
    return row ?? { status: "not_flushed", idempotencyDigest: null }
  }

  async function reverseUnraced(reversal: Reversal): Promise<ReversalRow> {
    const bounded = { ...reversal, balanceFenMax: AMOUNT_FEN_MAX }
    try {
      return await reverseCharge(sql, bounded)
    } catch (error) {
      if (violatedIndexOf(error) !== "reversals_pkey") throw error
      // Another request reversed it in the same instant, and its row is there now.
      return await reverseCharge(sql, bounded)
    }
  }

  /** Whether Redis may have the charge: it has not, where the account has not come so far. */
  async function mayBeThere({ accountId, seq }: ChargeName): Promise<boolean> {
    const outcome = await ledger.readAccount(accountId)
    return outcome.status !== "found" || outcome.account.seq >= seq
  }

  /** The change record of the reversal; null where it is not there in time, and follows by itself. */
  async function carryOut(chargeId: string, charge: ChargeName): Promise<ChangeRecord | null> {
    const applied = await ledger.applyPending(charge.accountId)
    if (applied.status !== "applied") return null
    return await until(REVERSAL_RECORD_WAIT_MS, () => readRecord(chargeId, charge))
  }

  async function readRecord(chargeId: string, { from }: ChargeName): Promise<ChangeRecord | null> {
    const { kind, sourceId, at } = changeRecords
    const rows = await db
      .select()
      .from(changeRecords)
      .where(and(eq(kind, "reversal"), eq(sourceId, chargeId), gte(at, from)))
      .limit(1)
    return rows[0] ?? null
  }

  return { reverse }
}

/** Asks again and again, until there is an answer or the time is over. */
async function until<Seen>(
  timeoutMs: number,
  look: () => Promise<Seen | null>,
): Promise<Seen | null> {
  const deadlineAt = performance.now() + timeoutMs
  for (;;) {
    const seen = await look()
    if (seen !== null || performance.now() >= deadlineAt) return seen
    await Bun.sleep(REVERSAL_POLL_MS)
  }
}

/** What is kept of an Idempotency-Key: within one service key and one charge it is one request. */
function digestOf({ serviceKeyId, idempotencyKey }: Asked): string | null {
  if (idempotencyKey === null) return null
  return Bun.SHA256.hash(`${serviceKeyId}\n${idempotencyKey}`, "base64url")
}
