import { isIdempotencyKey } from "../http/idempotency-key.ts"
import type { AccountId } from "../ids.ts"
import type { Charged, ChargeItem, ChargeOutcome, Idempotency } from "../ledger/items.ts"
import type { Ledger, ReadOutcome } from "../ledger/ledger.ts"
import { chargeDetails } from "../ledger/records.ts"
import type { Metrics } from "../metrics.ts"
import { AMOUNT_FEN_MAX, type Fen, fen } from "../money.ts"
import type { Sale } from "./answer.ts"
import type { Payer } from "./authenticate.ts"
import { type Claim, type DecideSteps, type Decision, decide, type Named } from "./decide.ts"
import { asksOf, identify } from "./idempotency.ts"
import type { Interfaces } from "./interfaces.ts"
import type { About, CallRefused, Refusal } from "./refusals.ts"
import { type Refuser } from "./refuse.ts"

/** What a request wants to pay for: a number of calls of an interface, or an amount as it is. */
export type Wish = Named & {
  interface?: string
  amountFen?: number
  quantity?: number
  description?: string
}

/** One call on its way to the ledger. */
export type Call = Claim & {
  wish: Wish
  requestId: string
  /** Method and path: within them an Idempotency-Key stands for one call. */
  route: string
  /** As it was sent. */
  idempotencyKey: string | null
  /** A repeat with the same key is refused and not answered again. */
  isOnce: boolean
  /** What it takes; known once it is priced. */
  amountFen: Fen
}

export const UNPRICED = fen(0)

/** What the record names where an amount is given and no interface. */
export const CUSTOM = "custom"

export type Prices = Pick<Interfaces, "priceOf" | "lookAgain" | "match">

/** What calls are decided by. */
export type CallSteps = DecideSteps & {
  prices: Prices
  ledger: Pick<Ledger, "charge" | "hold" | "capture" | "voidHold">
  readAccount(accountId: AccountId): Promise<ReadOutcome>
}

/** What the handlers of calls have in common. */
export type CallDeps = {
  steps: CallSteps
  metrics: Pick<Metrics, "chargeDecided" | "counted">
  refuser: Refuser
}

/** A charge, top to bottom: who pays, what it costs, and whether the balance covers it. */
export function handleCharge(call: Call, steps: CallSteps): Promise<Decision<Charged | Refusal>> {
  return decide<Charged | Refusal>(call, steps, (payer) => {
    const item = chargeOf(call, payer, steps.prices)
    if (!("status" in item)) return steps.ledger.charge(item)
    if (item.status !== "unknown_interface") return item
    return handleNew(call, payer, steps)
  })
}

/** An interface that was made a moment ago: this process may not have heard of it yet. */
async function handleNew(
  call: Call,
  payer: Payer,
  { prices, ledger }: CallSteps,
): Promise<ChargeOutcome | CallRefused> {
  await prices.lookAgain()
  const item = chargeOf(call, payer, prices)
  return "status" in item ? item : ledger.charge(item)
}

/** The charge that the ledger is asked for, or why it is not asked at all. */
export function chargeOf(call: Call, payer: Payer, prices: Prices): ChargeItem | CallRefused {
  const { wish } = call
  if (wish.amountFen !== undefined && payer.servicesVersion === null) {
    return { status: "field_unwanted", path: "/amountFen" }
  }
  return itemOf(call, payer, prices, "")
}

/** `more` is what the request asks for beside its wish. */
export function itemOf(
  call: Call,
  payer: Payer,
  prices: Prices,
  more: string,
): ChargeItem | CallRefused {
  const { wish } = call
  const amount = priceWish(wish, payer, prices)
  if (typeof amount !== "number") return amount
  call.amountFen = fen(amount)
  const idempotency = call.idempotencyKey === null ? null : identifyCall(call, payer, more)
  if (idempotency !== null && "status" in idempotency) return idempotency
  return {
    accountId: payer.accountId,
    amountFen: call.amountFen,
    authVersion: payer.authVersion,
    servicesVersion: payer.servicesVersion,
    limits: payer.limits,
    idempotency,
    details: chargeDetails({
      keyId: payer.keyId,
      interface: wish.interface ?? CUSTOM,
      quantity: wish.quantity ?? 1,
      requestId: call.requestId,
      description: wish.description ?? "",
    }),
  }
}

function priceWish(wish: Wish, { interfaces }: Payer, prices: Prices): number | CallRefused {
  const { interface: name, amountFen, quantity = 1 } = wish
  if (name === undefined) {
    if (amountFen === undefined) return { status: "field_missing", path: "/interface" }
    if (interfaces !== null) return { status: "interface_not_allowed", interface: CUSTOM }
    return amountFen
  }
  if (amountFen !== undefined) return { status: "field_unwanted", path: "/amountFen" }
  const priceFen = prices.priceOf(name)
  if (priceFen === null) return { status: "unknown_interface", interface: name }
  if (interfaces !== null && !interfaces.has(name)) {
    return { status: "interface_not_allowed", interface: name }
  }
  const amount = priceFen * quantity
  return amount > AMOUNT_FEN_MAX ? { status: "amount_too_large" } : amount
}

function identifyCall(call: Call, payer: Payer, more: string): Idempotency | CallRefused {
  const { wish, route, idempotencyKey: key, isOnce } = call
  if (key === null || !isIdempotencyKey(key)) return { status: "bad_idempotency_key" }
  const named = payer.servicesVersion === null ? "" : payer.keyId
  const { interface: name, amountFen, quantity = 1, description } = wish
  const asks = asksOf(named, name, amountFen, quantity, description, more)
  return identify(payer, { key, route, asks, isOnce })
}

/** What an accepted charge was for, as its answer tells it. */
export function saleOf({ wish }: Call, payer: Payer, { amountFen }: Charged): Sale {
  const { interface: name, quantity = 1 } = wish
  return {
    accountId: payer.accountId,
    interface: name ?? CUSTOM,
    quantity,
    // A replay tells what was paid then: the price may have changed since.
    priceFen: name === undefined ? 1 : amountFen / quantity,
  }
}

/** Nothing is known yet of a call that is refused. */
export const NOBODY: About = { payer: null, amountFen: 0 }

/** Whose call it is, for the refusal of it. */
export function aboutOf({ wish, amountFen }: Call, payer: Payer): About {
  return { payer, amountFen, interface: wish.interface ?? CUSTOM }
}
