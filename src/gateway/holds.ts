import { jsonBody } from "../http/body.ts"
import { parseHoldId } from "../ids.ts"
import type {
  CaptureOutcome,
  Held,
  HoldOutcome,
  Idempotency,
  Voided,
  VoidOutcome,
} from "../ledger/items.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { readDetails } from "../ledger/records.ts"
import { HOLD_TTL_SECONDS_DEFAULT } from "../limits.ts"
import { fen } from "../money.ts"
import type { Sale } from "./answer.ts"
import { type Payer, readKey } from "./authenticate.ts"
import { type BalanceSteps, type ReadRefused, readFresh } from "./balance.ts"
import { type Call, itemOf, type Prices } from "./call.ts"
import { type Claim, type Decision, decide, type Stale } from "./decide.ts"
import { asksOf, identify, isIdempotencyKey } from "./idempotency.ts"
import type { CallRefused, Refusal } from "./refuse.ts"

export type HoldSteps = BalanceSteps & {
  prices: Prices
  ledger: Pick<Ledger, "hold" | "capture" | "voidHold">
}

/** A hold that somebody asks to be resolved. */
export type Resolution = {
  request: Request
  verb: "capture" | "void"
  holdId: string
  /** Null: all that is held. */
  amountFen: number | null
  idempotencyKey: string | null
}

export type Captured = Extract<CaptureOutcome, { status: "accepted" }>

/** A body may be left out where nothing must be said. */
export const optionalBody: typeof jsonBody = async (...request) =>
  (await jsonBody(...request)) ?? {}

/** A hold, top to bottom: who pays, what it reserves, and whether the balance covers it. */
export function handleHold(
  { ttlSeconds = HOLD_TTL_SECONDS_DEFAULT, ...call }: Call & { ttlSeconds?: number },
  steps: HoldSteps,
): Promise<Decision<Held | Refusal>> {
  const { prices, ledger } = steps
  return decide<Held | Refusal>(call, steps, hold)

  async function hold(payer: Payer): Promise<HoldOutcome | CallRefused> {
    let item = itemOf(call, payer, prices, String(ttlSeconds))
    if ("status" in item && item.status === "unknown_interface") {
      await prices.lookAgain()
      item = itemOf(call, payer, prices, String(ttlSeconds))
    }
    if ("status" in item) return item
    return ledger.hold({ ...item, ttlMs: ttlSeconds * 1_000, isInternal: false })
  }
}

export function handleCapture(
  resolution: Resolution,
  steps: HoldSteps,
): Promise<Decision<Captured | Refusal>> {
  const { holdId, amountFen } = resolution
  const amount = amountFen === null ? null : fen(amountFen)
  return resolve<CaptureOutcome>(resolution, steps, (idempotency) =>
    steps.ledger.capture({ holdId, amountFen: amount, idempotency }),
  )
}

export function handleVoid(
  resolution: Resolution,
  steps: HoldSteps,
): Promise<Decision<Voided | Refusal>> {
  const { holdId } = resolution
  return resolve<VoidOutcome>(resolution, steps, (idempotency) =>
    steps.ledger.voidHold({ holdId, isExpiry: false, idempotency }),
  )
}

/**
 * Resolves a hold of the caller's account; a service key resolves those of all accounts. The script
 * checks only the hold, because the upstream has run by then; so that a revoked key resolves none,
 * its version is compared here.
 */
function resolve<Outcome extends { readonly status: string }>(
  resolution: Resolution,
  steps: HoldSteps,
  send: (idempotency: Idempotency | null) => Promise<Outcome>,
): Promise<Decision<Outcome | ReadRefused | CallRefused | { status: "hold_not_found" }>> {
  const hold = parseHoldId(resolution.holdId)
  return decide(claimOf(resolution, hold), steps, async (payer) => {
    const fresh = await readFresh(payer, steps)
    if (fresh.status !== "found") return fresh
    if (hold === null || hold.accountId !== payer.accountId) return { status: "hold_not_found" }
    const idempotency = identifyResolution(resolution, payer)
    if (idempotency !== null && "status" in idempotency) return idempotency
    return send(idempotency)
  })
}

/** The hold names the account that a service key calls for. */
function claimOf({ request }: Resolution, hold: ReturnType<typeof parseHoldId>): Claim {
  const isService = readKey(request.headers)?.startsWith("fs_") === true
  return { request, named: isService && hold !== null ? { accountId: hold.accountId } : {} }
}

function identifyResolution(
  { verb, holdId, amountFen, idempotencyKey: key }: Resolution,
  payer: Payer,
): Idempotency | CallRefused | null {
  if (key === null) return null
  if (!isIdempotencyKey(key)) return { status: "bad_idempotency_key" }
  const route = `POST /v1/holds/${holdId}/${verb}`
  return identify(payer, { key, route, asks: asksOf(amountFen), isOnce: false })
}

/** What a captured hold was for. */
export function saleOfHold({ details }: Captured, payer: Payer, prices: Prices): Sale {
  const { interface: name, quantity } = readDetails(details)
  const priceFen = prices.priceOf(name) ?? 1
  return { accountId: payer.accountId, interface: name, quantity, priceFen }
}
