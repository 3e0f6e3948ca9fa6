import { Elysia } from "elysia"
import type { AddressSource, Reached } from "../http/address.ts"
import type { Outgoing } from "../http/problem.ts"
import { type HeaderMap, requestIdOf } from "../http/request-id.ts"
import type { Charged, Held } from "../ledger/items.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { chargeIdOf, tellCharge } from "./answer.ts"
import { createFailures, type Failure, type FailureDeps } from "./api-failures.ts"
import type { Payer } from "./authenticate.ts"
import { costOf } from "./cost.ts"
import { createForward, type Forwarded } from "./forward.ts"
import { toCaller, toUpstream } from "./forward-headers.ts"
import { type ApiCall, type HoldCallSteps, holdCall, readCall } from "./hold-call.ts"
import { describeCall, HEADERS } from "./model.ts"
import { tellRate } from "./refuse.ts"
import { createRelease } from "./release.ts"
import { createSparingLog } from "./sparing-log.ts"
import { createWatch } from "./watch.ts"

export type ApiDeps = FailureDeps & {
  steps: HoldCallSteps & { ledger: Pick<Ledger, "capture" | "voidHold"> }
  reached(request: Request, server: AddressSource): Reached
  log(message: string): void
}

type Server = NonNullable<AddressSource> & { timeout(request: Request, seconds: number): void }
type Incoming = { request: Request; set: Outgoing; server: Server | null }

/** A call whose price is held. */
type Paying = { call: ApiCall; payer: Payer; held: Held }

type Answered = Extract<Forwarded, { status: "answered" }>
type Settled = (Answered & { charged: Charged | null }) | Failure | { status: "unavailable" }

/** `ANY /api/…`: the gateway itself. */
export function createApi(deps: ApiDeps) {
  const { steps, reached, unpaid, metrics, log } = deps
  const forward = createForward(createWatch())
  const tell = createSparingLog(log)
  const { release, stop } = createRelease({ ledger: steps.ledger, tell })
  const answerFailure = createFailures(deps, tell)
  const plugin = new Elysia({ name: "api", normalize: false })
    .all("/api", api, ROUTE)
    .all("/api/*", api, ROUTE)
  return { plugin, stop }

  /**
   * A call, top to bottom: who makes it, and whether the balance covers it; then the upstream; then
   * what it costs is taken; and only then does the caller get the first byte.
   */
  async function api({ request, set, server }: Incoming): Promise<Response | string> {
    const call = readCall(request, requestIdOf(set.headers))
    const { payer, outcome: held } = await holdCall(call, steps)
    if (payer === null) return answerFailure({ call, payer, rate: null, reason: held }, set)
    if (held.status !== "held") {
      return answerFailure({ call, payer, rate: null, reason: held }, set)
    }
    // From here on its interface says how long the call may take, and nobody for its answer.
    server?.timeout(request, 0)
    const paying = { call, payer, held }
    const settled = await settle(paying, await forwardCall(paying, reached(request, server)))
    if (settled.status !== "answered") {
      return answerFailure({ call, payer, rate: held.rate, reason: settled }, set)
    }
    return pass(paying, settled, set)
  }

  function forwardCall({ call, payer }: Paying, from: Reached): Promise<Forwarded> {
    const { request, requestId, query, body, routed } = call
    if (routed === null || routed.route.upstreamUrl === null) throw new Error(NOT_ROUTED)
    const told = { accountId: payer.accountId, keyId: payer.keyId, requestId, ...from }
    return forward({
      request,
      url: routed.route.upstreamUrl + routed.path.slice(PREFIX.length) + query,
      headers: toUpstream(request.headers, told),
      body,
      limits: routed.route,
    })
  }

  /** What the upstream has answered says what is taken; what is not taken is given back. */
  async function settle({ call, payer, held }: Paying, forwarded: Forwarded): Promise<Settled> {
    const { holdId } = held
    if (forwarded.status !== "answered") {
      await release(holdId)
      return forwarded
    }
    if (call.routed === null) throw new Error(NOT_ROUTED)
    const cost = costOf(forwarded.response, call.routed.route, held.amountFen)
    switch (cost.status) {
      case "uncharged":
        unpaid.failed({ payer, interface: call.routed.route.id })
        await release(holdId)
        return { ...forwarded, charged: null }
      case "free":
        await release(holdId)
        return { ...forwarded, charged: null }
      case "unreadable":
        forwarded.cancel()
        await release(holdId)
        return { status: "cost_unreadable" }
      case "charged": {
        const { amountFen, saidFen } = cost
        if (saidFen !== undefined) {
          const said = `X-Cost-Fen is ${saidFen}, and ${held.amountFen} were held`
          tell(`the upstream of ${call.routed.route.id}`, said)
        }
        const captured = await steps.ledger.capture({ holdId, amountFen, idempotency: null })
        if (captured.status === "accepted") return { ...forwarded, charged: captured }
        // It is not paid, and never given for nothing.
        forwarded.cancel()
        await release(holdId)
        if (captured.status !== "unavailable")
          log(`${call.requestId} lost its hold: ${captured.status}`)
        return { status: "unavailable" }
      }
    }
  }

  function pass(
    { call, payer, held }: Paying,
    settled: Answered & { charged: Charged | null },
    set: Outgoing,
  ): Response {
    const { response, charged, cancel } = settled
    const ours: HeaderMap = { "x-request-id": call.requestId }
    tellRate(ours, payer, held.rate)
    if (charged !== null) tellCharge(ours, chargeIdOf(payer.accountId, charged), charged)
    toCaller(response.headers, ours)
    metrics.counted("calls", charged === null ? "uncharged" : "charged")
    // He left while it was settled: nobody else would end the upstream's answer.
    if (call.request.signal.aborted) cancel()
    // An answer that has headers to be added to would be copied by the framework.
    set.headers = {}
    return response
  }
}

const PREFIX = "/api"
const NOT_ROUTED = "broken invariant: a call is paid that has no interface, or no upstream"

const ROUTE = {
  parse: "none",
  ...describeCall({
    summary:
      "Forward a call: matched to an interface, paid, and answered by its upstream with whatever that answers",
    answer: null,
    headers: [HEADERS.paid, HEADERS.rate],
    isKeyed: true,
    security: [{ apiKey: [] }],
    errors: [
      "missing_credential",
      "invalid_credential",
      "key_disabled",
      "key_expired",
      "insufficient_balance",
      "key_budget_reached",
      "account_frozen",
      "ip_not_allowed",
      "interface_not_allowed",
      "not_allowed",
      "unknown_interface",
      "request_in_progress",
      "already_charged",
      "body_too_large",
      "idempotency_key_reused",
      "rate_limited",
      "upstream_failed",
      "upstream_timeout",
      "billing_unavailable",
    ],
  }),
} as const
