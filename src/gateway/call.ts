import type { ChargeItem, ChargeOutcome } from "../ledger/batch.ts"
import type { ApplyOutcome } from "../ledger/instructions.ts"
import { chargeDetails } from "../ledger/records.ts"
import { AUTH_RELOADS_MAX } from "../limits.ts"
import { AMOUNT_FEN_MAX, type Fen, fen } from "../money.ts"
import {
  type Authenticator,
  readApiKey,
  type Verification,
  type VerifiedKey,
} from "./authenticate.ts"
import type { PriceList } from "./price.ts"

export type ChargeRequest = {
  headers: Headers
  requestId: string
  interface: string
  quantity: number
  description: string
}

type Accepted = Extract<ChargeOutcome, { status: "accepted" }>
type Short = Extract<ChargeOutcome, { status: "insufficient_balance" }>

export type ChargeAnswer =
  | (Accepted & { key: VerifiedKey; amountFen: Fen; priceFen: Fen })
  | (Short & { amountFen: Fen })
  | Exclude<Verification, { status: "verified" }>
  | { status: "unknown_interface" }
  | { status: "amount_too_large" }
  | { status: "account_frozen" }

export type CallSteps = {
  authenticator: Authenticator
  prices: PriceList
  charge(item: ChargeItem): Promise<ChargeOutcome>
  applyPending(accountId: VerifiedKey["accountId"]): Promise<ApplyOutcome>
}

/** A charge, top to bottom: who calls, what it costs, and whether the balance covers it. */
export async function handleCharge(call: ChargeRequest, steps: CallSteps): Promise<ChargeAnswer> {
  let verification = steps.authenticator.verify(call.headers)
  if (verification instanceof Promise) verification = await verification
  const priceFen = steps.prices.priceOf(call.interface)
  for (let reloads = 0; ; reloads++) {
    if (verification.status !== "verified") return verification
    if (priceFen === null) return { status: "unknown_interface" }
    const { key } = verification
    const amount = priceFen * call.quantity
    if (amount > AMOUNT_FEN_MAX) return { status: "amount_too_large" }
    const amountFen = fen(amount)

    const outcome = await steps.charge({
      accountId: key.accountId,
      amountFen,
      authVersion: key.authVersion,
      details: chargeDetails({ ...call, keyId: key.keyId }),
    })

    switch (outcome.status) {
      case "accepted":
        return { ...outcome, key, amountFen, priceFen }
      case "insufficient_balance":
        return { ...outcome, amountFen }
      case "account_frozen":
        return { status: "account_frozen" }
      case "account_closed":
        return { status: "invalid_credential" }
      case "unavailable":
        return { status: "unavailable" }
      case "auth_changed":
      case "account_unknown":
        // Redis is ahead of what this process knows, or behind Postgres: learn, then try again.
        if (reloads === AUTH_RELOADS_MAX) return { status: "unavailable" }
        verification = await steps.authenticator.reload(readApiKey(call.headers) ?? "")
        if (isBehind(outcome, verification)) await steps.applyPending(key.accountId)
    }
  }
}

/** Whether Postgres has instructions of the account that Redis has not applied yet. */
function isBehind(
  outcome: Extract<ChargeOutcome, { status: "auth_changed" | "account_unknown" }>,
  verification: Verification,
): boolean {
  if (verification.status !== "verified") return false
  if (outcome.status === "account_unknown") return true
  return verification.key.authVersion > outcome.authVersion
}
