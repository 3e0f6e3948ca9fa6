import { jsonBody } from "../http/body.ts"
import { IDEMPOTENCY_HEADER, isIdempotencyKey } from "../http/idempotency-key.ts"
import type { Outgoing } from "../http/problem.ts"
import { requestIdOf } from "../http/request-id.ts"
import { parseHoldId } from "../ids.ts"
import type {
  CaptureOutcome,
  Held,
  HoldOutcome,
  Idempotency,
  VoidOutcome,
} from "../ledger/items.ts"
import { readDetails } from "../ledger/records.ts"
import { HOLD_TTL_SECONDS_DEFAULT } from "../limits.ts"
import { fen } from "../money.ts"
import { type Sale, viewAvailable, viewHold, writeCharge } from "./answer.ts"
import { type Payer, readKey } from "./authenticate.ts"
import { type ReadRefused, readFresh } from "./balance.ts"
import {
  aboutOf,
  type Call,
  type CallDeps,
  type CallSteps,
  itemOf,
  NOBODY,
  UNPRICED,
  type Wish,
} from "./call.ts"
import { type Claim, type Decision, decide } from "./decide.ts"
import { asksOf, identify } from "./idempotency.ts"
import type { CallRefused, Refusal } from "./refusals.ts"
import { tellRate } from "./refuse.ts"

/** A hold that somebody asks to be resolved. */
type Resolution = {
  request: Request
  route: string
  holdId: string
  /** Null: all that is held. */
  amountFen: number | null
}

type Captured = Extract<CaptureOutcome, { status: "accepted" }>
type Incoming<Body> = { request: Request; body: Body; set: Outgoing }
type OfHold<Body> = Incoming<Body> & { params: { holdId: string } }

/** A body may be left out where nothing must be said. */
export const optionalBody: typeof jsonBody = async (...request) =>
  (await jsonBody(...request)) ?? {}

/** `POST /v1/holds`, `…/capture` and `…/void`. */
export function createHolds({ steps, metrics, refuser }: CallDeps) {
  return { hold, capture, release }

  async function hold({
    request,
    body,
    set,
  }: Incoming<Wish & { ttlSeconds?: number }>): Promise<unknown> {
    const call = {
      request,
      named: body,
      wish: body,
      requestId: requestIdOf(set.headers),
      route: "POST /v1/holds",
      idempotencyKey: request.headers.get(IDEMPOTENCY_HEADER),
      isOnce: false,
      amountFen: UNPRICED,
    }
    const ttlSeconds = body.ttlSeconds ?? HOLD_TTL_SECONDS_DEFAULT
    const { payer, outcome } = await handleHold(call, ttlSeconds, steps)
    metrics.counted("holds", outcome.status)
    if (payer === null) return refuser.refuse(outcome, NOBODY, set)
    if (outcome.status !== "held") return refuser.refuse(outcome, aboutOf(call, payer), set)
    tellRate(set.headers, payer, outcome.rate)
    tellReplay(set, outcome)
    set.status = 201
    return viewHold(outcome)
  }

  async function capture({
    request,
    body,
    params: { holdId },
    set,
  }: OfHold<{ amountFen?: number }>): Promise<string> {
    const amountFen = body.amountFen ?? null
    const resolution = { request, holdId, amountFen, route: `POST /v1/holds/${holdId}/capture` }
    const amount = amountFen === null ? null : fen(amountFen)
    const { payer, outcome } = await resolve<CaptureOutcome>(resolution, steps, (idempotency) =>
      steps.ledger.capture({ holdId, amountFen: amount, idempotency }),
    )
    metrics.counted("captures", outcome.status)
    if (payer === null) return refuser.refuse(outcome, NOBODY, set)
    if (outcome.status !== "accepted") return refuser.refuse(outcome, { ...NOBODY, payer }, set)
    tellRate(set.headers, payer, outcome.rate)
    return writeCharge(outcome, saleOf(outcome, payer, steps), set.headers)
  }

  async function release({ request, params: { holdId }, set }: OfHold<object>): Promise<unknown> {
    const resolution = { request, holdId, amountFen: null, route: `POST /v1/holds/${holdId}/void` }
    const { payer, outcome } = await resolve<VoidOutcome>(resolution, steps, (idempotency) =>
      steps.ledger.voidHold({ holdId, idempotency }),
    )
    metrics.counted("voids", outcome.status)
    if (payer === null) return refuser.refuse(outcome, NOBODY, set)
    if (outcome.status !== "voided") return refuser.refuse(outcome, { ...NOBODY, payer }, set)
    tellRate(set.headers, payer, null)
    tellReplay(set, outcome)
    return { holdId, ...viewAvailable(outcome) }
  }
}

function tellReplay({ headers }: Outgoing, { isReplay }: { isReplay: boolean }): void {
  if (isReplay) headers["idempotent-replayed"] = "true"
}

/** A hold, top to bottom: who pays, what it reserves, and whether the balance covers it. */
function handleHold(
  call: Call,
  ttlSeconds: number,
  steps: CallSteps,
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

/**
 * Resolves a hold of the caller's account; a service key resolves those of all accounts. The script
 * checks only the hold, because the upstream has run by then; so that a revoked key resolves none,
 * its version is compared here.
 */
function resolve<Outcome extends { readonly status: string }>(
  resolution: Resolution,
  steps: CallSteps,
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
  if (!isService) return { request, named: {} }
  return { request, named: { accountId: hold === null ? "" : hold.accountId } }
}

function identifyResolution(
  { request, route, amountFen }: Resolution,
  payer: Payer,
): Idempotency | CallRefused | null {
  const key = request.headers.get(IDEMPOTENCY_HEADER)
  if (key === null) return null
  if (!isIdempotencyKey(key)) return { status: "bad_idempotency_key" }
  return identify(payer, { key, route, asks: asksOf(amountFen), isOnce: false })
}

/** What a captured hold was for. */
function saleOf({ details }: Captured, payer: Payer, { prices }: CallSteps): Sale {
  const { interface: name, quantity } = readDetails(details)
  const priceFen = prices.priceOf(name) ?? 1
  return { accountId: payer.accountId, interface: name, quantity, priceFen }
}
