import { IDEMPOTENCY_HEADER } from "../http/idempotency-key.ts"
import type { ChargeItem, Held, HoldItem, HoldOutcome } from "../ledger/items.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { HOLD_MARGIN_MS } from "../limits.ts"
import type { Payer } from "./authenticate.ts"
import { type Call, itemOf, UNPRICED } from "./call.ts"
import { type DecideSteps, type Decision, decide } from "./decide.ts"
import { asksOf } from "./idempotency.ts"
import type { Interface, Interfaces } from "./interfaces.ts"
import type { Refusal } from "./refuse.ts"
import { announcedBytes, type ForwardedBody, isSmall, readSmall } from "./request-body.ts"
import type { Routed } from "./routing.ts"

export type HoldCallSteps = DecideSteps & {
  prices: Pick<Interfaces, "priceOf" | "match" | "lookAgain">
  ledger: Pick<Ledger, "hold">
}

/** A call of /api. Of what it is, where it goes, and its body are there once it has a hold. */
export type ApiCall = Call & {
  path: string
  /** With its question mark; empty where there is none. */
  query: string
  interface: Interface | null
  /** Of the upstream. */
  url: string
  body: ForwardedBody
}

/** A call whose price is held. */
export type Paying = { call: ApiCall; payer: Payer; held: Held }

/** Why a call that could be paid is not forwarded. */
export type Unforwarded =
  | { status: "upstream_missing" }
  | { status: "body_too_large" }
  | { status: "caller_gone" }

export function readCall(request: Request, requestId: string): ApiCall {
  const { url } = request
  // Where the Host header is none, the URL is the path alone.
  const from = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("//") + 2)
  const mark = url.indexOf("?", from)
  return {
    request,
    named: null,
    wish: {},
    requestId,
    route: "",
    idempotencyKey: request.headers.get(IDEMPOTENCY_HEADER),
    // The upstream's answer is what was paid for: it is not kept, and cannot be given again.
    isOnce: true,
    amountFen: UNPRICED,
    path: mark === -1 ? url.slice(from) : url.slice(from, mark),
    query: mark === -1 ? "" : url.slice(mark),
    interface: null,
    url: "",
    body: null,
  }
}

/** The interface of a call that has a hold, or was refused for what its interface is. */
export function interfaceOf(call: ApiCall): Interface {
  if (call.interface === null) throw new Error("broken invariant: a call of no interface goes on")
  return call.interface
}

type HoldAnswer = HoldOutcome | Refusal | Unforwarded

/**
 * Finds the interface of a call and holds its price, for longer than its upstream may take. A call
 * of a known interface, without a body, goes to the ledger without a promise of its own.
 */
export function holdCall(
  call: ApiCall,
  steps: HoldCallSteps,
): Promise<Decision<Held | Refusal | Unforwarded>> {
  return decide<Held | Refusal | Unforwarded>(call, steps, (payer) => {
    const routed = match(call, steps)
    return routed === null ? holdNew(call, payer, steps) : hold({ call, payer, routed }, steps)
  })
}

/** The interface may be so new that this process has not heard of it. */
async function holdNew(call: ApiCall, payer: Payer, steps: HoldCallSteps): Promise<HoldAnswer> {
  await steps.prices.lookAgain()
  const routed = match(call, steps)
  if (routed !== null) return hold({ call, payer, routed }, steps)
  return { status: "unknown_interface", interface: `${call.request.method} ${call.path}` }
}

type Routing = { call: ApiCall; payer: Payer; routed: Routed<Interface> }

function hold(
  { call, payer, routed }: Routing,
  steps: HoldCallSteps,
): Promise<HoldAnswer> | Refusal | Unforwarded {
  const { request, query } = call
  const { id, upstreamUrl, bodyBytesMax } = routed.route
  call.interface = routed.route
  call.wish.interface = id
  call.route = `${request.method} ${routed.path}`
  const more = call.idempotencyKey === null ? "" : asksOf(query, ...contentOf(request))
  const item = itemOf(call, payer, steps.prices, more)
  if ("status" in item) return item
  if (upstreamUrl === null) return { status: "upstream_missing" }
  call.url = upstreamUrl + routed.path.slice(PREFIX.length) + query
  if ((announcedBytes(request) ?? 0) > bodyBytesMax) return { status: "body_too_large" }
  const holdItem = holdOf(item, routed.route)
  if (isSmall(request)) return holdAfterBody(call, holdItem, steps)
  call.body = request.body
  return steps.ledger.hold(holdItem)
}

async function holdAfterBody(
  call: ApiCall,
  item: HoldItem,
  { ledger }: HoldCallSteps,
): Promise<HoldAnswer> {
  call.body ??= await readSmall(call.request)
  return call.body === null ? { status: "caller_gone" } : ledger.hold(item)
}

/** Spelled out, because a copy costs half a microsecond more. */
function holdOf(item: ChargeItem, { timeoutMs }: Interface): HoldItem {
  return {
    accountId: item.accountId,
    amountFen: item.amountFen,
    authVersion: item.authVersion,
    servicesVersion: item.servicesVersion,
    limits: item.limits,
    idempotency: item.idempotency,
    details: item.details,
    ttlMs: timeoutMs + HOLD_MARGIN_MS,
    isInternal: true,
  }
}

/** What stands before the path of the upstream's own. */
const PREFIX = "/api"

function match({ request, path }: ApiCall, { prices }: HoldCallSteps): Routed<Interface> | null {
  return path === PREFIX || path.startsWith(`${PREFIX}/`)
    ? prices.match(request.method, path)
    : null
}

/** What tells one body from another without reading it. */
function contentOf({ headers }: Request): [string | null, string | null] {
  return [headers.get("content-type"), headers.get("content-length")]
}
