import { Elysia } from "elysia"
import type { AddressSource, Reached } from "../http/address.ts"
import type { EdgeServer, PastEdge } from "../http/past-edge.ts"
import type { Outgoing } from "../http/problem.ts"
import { type HeaderMap, requestIdOf } from "../http/request-id.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { chargeIdOf, tellCharge } from "./answer.ts"
import { createFailures, type FailureDeps } from "./api-failures.ts"
import { createForward, type Forwarding } from "./forward.ts"
import { toCaller, toUpstream } from "./forward-headers.ts"
import { type HoldCallSteps, holdCall, interfaceOf, type Paying, readCall } from "./hold-call.ts"
import { describeCall, HEADERS } from "./model.ts"
import { tellRate } from "./refuse.ts"
import { createSettle, type Passed } from "./settle.ts"
import { createSparingLog } from "./sparing-log.ts"
import { createWatch } from "./watch.ts"

export type ApiDeps = FailureDeps & {
  steps: HoldCallSteps & { ledger: Pick<Ledger, "capture" | "voidHold"> }
  pastEdge: PastEdge
  reached(request: Request, server: AddressSource): Reached
  log(message: string): void
}

type Incoming = { request: Request; set: Outgoing; server: EdgeServer | null }

/** `ANY /api/…`: the gateway itself. */
export function createApi(deps: ApiDeps) {
  const { steps, pastEdge, reached, unpaid, metrics, log } = deps
  const tell = createSparingLog(log)
  const forward = createForward(createWatch())
  const { settle, stop } = createSettle({ ledger: steps.ledger, unpaid, tell })
  const answerFailure = createFailures(deps, tell)
  const past = pastEdge("/api/*", api)
  // Its routes stand in the document, and answer where the server's own are not: as it stops.
  const plugin = new Elysia({ name: "api", normalize: false })
    .all("/api", ({ request, server }) => past(request, server), ROUTE)
    .all("/api/*", ({ request, server }) => past(request, server), ROUTE)
  return { plugin, routes: { "/api": past, "/api/*": past }, stop }

  /**
   * A call, top to bottom: who makes it, and whether the balance covers it; then the upstream; then
   * what it costs is taken; and only then does the caller get the first byte.
   */
  async function api({ request, set, server }: Incoming): Promise<Response | string> {
    const call = readCall(request, requestIdOf(set.headers))
    const { payer, outcome } = await holdCall(call, steps)
    if (payer === null) return answerFailure({ call, payer, rate: null, reason: outcome }, set)
    if (outcome.status !== "held") {
      return answerFailure({ call, payer, rate: null, reason: outcome }, set)
    }
    const paying = { call, payer, held: outcome }
    // From here on its interface says how long the call may take, and nobody for its answer.
    server?.timeout(request, 0)
    const forwarded = await forward(forwardingOf(paying, reached(request, server)))
    const settled = await settle(paying, forwarded)
    if (settled.status === "answered") return pass(paying, settled)
    return answerFailure({ call, payer, rate: outcome.rate, reason: settled }, set)
  }

  function pass({ call, payer, held }: Paying, passed: Passed): Response {
    const { response, charged, controller } = passed
    metrics.counted("calls", charged === null ? "uncharged" : "charged")
    const ours: HeaderMap = { "x-request-id": call.requestId }
    tellRate(ours, payer, held.rate)
    if (charged !== null) tellCharge(ours, chargeIdOf(payer.accountId, charged), charged)
    toCaller(response.headers, ours)
    // He left while it was settled: nobody else would end the upstream's answer.
    if (call.request.signal.aborted) controller.abort()
    return response
  }
}

function forwardingOf({ call, payer }: Paying, { address, protocol, host }: Reached): Forwarding {
  const { request, requestId, url, body } = call
  const { accountId, keyId } = payer
  const told = { accountId, keyId, requestId, address, protocol, host }
  const headers = toUpstream(request.headers, told)
  return { request, url, headers, body, limits: interfaceOf(call) }
}

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
