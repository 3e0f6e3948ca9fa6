import type { Held, HoldOutcome } from "../ledger/items.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { HOLD_MARGIN_MS } from "../limits.ts"
import type { Payer } from "./authenticate.ts"
import { type Call, itemOf, UNPRICED } from "./call.ts"
import { type DecideSteps, type Decision, decide } from "./decide.ts"
import { asksOf, IDEMPOTENCY_HEADER } from "./idempotency.ts"
import type { Interface, Interfaces } from "./interfaces.ts"
import type { Refusal } from "./refuse.ts"
import { announcedBytes, type ForwardedBody, readBody } from "./request-body.ts"
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

/** Finds the interface of a call and holds its price, for longer than its upstream may take. */
export function holdCall(
  call: ApiCall,
  steps: HoldCallSteps,
): Promise<Decision<Held | Refusal | Unforwarded>> {
  return decide<Held | Refusal | Unforwarded>(call, steps, hold)

  async function hold(payer: Payer): Promise<HoldOutcome | Refusal | Unforwarded> {
    const { request } = call
    const routed = route(call, steps) ?? (await routeAgain(call, steps))
    if (routed === null) {
      return { status: "unknown_interface", interface: `${request.method} ${call.path}` }
    }
    const { id, upstreamUrl, timeoutMs, bodyBytesMax } = routed.route
    call.interface = routed.route
    call.wish.interface = id
    call.route = `${request.method} ${routed.path}`
    const item = itemOf(call, payer, steps.prices, asksOf(call.query, ...contentOf(request)))
    if ("status" in item) return item
    if (upstreamUrl === null) return { status: "upstream_missing" }
    call.url = upstreamUrl + routed.path.slice(PREFIX.length) + call.query
    if ((announcedBytes(request) ?? 0) > bodyBytesMax) return { status: "body_too_large" }
    try {
      call.body ??= await readBody(request)
    } catch {
      // The body ends before its end: there is nobody left to be told.
      return { status: "caller_gone" }
    }
    return steps.ledger.hold({ ...item, ttlMs: timeoutMs + HOLD_MARGIN_MS, isInternal: true })
  }
}

/** What stands before the path of the upstream's own. */
const PREFIX = "/api"

function route({ request, path }: ApiCall, { prices }: HoldCallSteps): Routed<Interface> | null {
  return prices.match(request.method, path)
}

/** The interface may be so new that this process has not heard of it. */
async function routeAgain(call: ApiCall, steps: HoldCallSteps): Promise<Routed<Interface> | null> {
  await steps.prices.lookAgain()
  return route(call, steps)
}

/** What tells one body from another without reading it. */
function contentOf({ headers }: Request): [string | null, string | null] {
  return [headers.get("content-type"), headers.get("content-length")]
}
