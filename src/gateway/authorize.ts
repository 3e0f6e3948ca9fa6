import { IDEMPOTENCY_HEADER } from "../http/idempotency-key.ts"
import type { Outgoing } from "../http/problem.ts"
import { requestIdOf } from "../http/request-id.ts"
import type { Charged, ChargeOutcome } from "../ledger/items.ts"
import { chargeIdOf, tellCharge } from "./answer.ts"
import type { Payer } from "./authenticate.ts"
import {
  aboutOf,
  type Call,
  type CallDeps,
  type CallSteps,
  itemOf,
  NOBODY,
  UNPRICED,
} from "./call.ts"
import { type Decision, decide } from "./decide.ts"
import type { CallRefused, Refusal } from "./refusals.ts"
import { tellRate } from "./refuse.ts"

/** The operation that a reverse proxy asks about. */
type Operation = { method: string; uri: string }

const ROUTE = "/v1/authorize"
const FAMILIES = [
  { method: "x-original-method", uri: "x-original-uri" },
  { method: "x-forwarded-method", uri: "x-forwarded-uri" },
]

type Incoming = { request: Request; set: Outgoing }

/** `ANY /v1/authorize`, and the same with the call's own path and query behind it. */
export function createAuthorize({ steps, metrics, refuser }: CallDeps) {
  return {
    authorize: ({ request, query, set }: Incoming & { query: { deny?: string } }) =>
      answer({ request, set }, query.deny === undefined ? refuser.refuse : refuser.deny),
    authorizeBehind: ({ request, set }: Incoming) => answer({ request, set }, refuser.refuse),
  }

  async function answer(
    { request, set }: Incoming,
    refuse: (typeof refuser)["refuse"],
  ): Promise<string> {
    const startedAt = performance.now()
    const call: Call = {
      request,
      named: null,
      wish: {},
      requestId: requestIdOf(set.headers),
      route: ROUTE,
      idempotencyKey: request.headers.get(IDEMPOTENCY_HEADER),
      // The answer of the API itself is what was paid for: it cannot be given again.
      isOnce: true,
      amountFen: UNPRICED,
    }
    const { payer, outcome } = await handleAuthorize(call, steps)
    metrics.chargeDecided(outcome.status, (performance.now() - startedAt) / 1_000)
    if (payer === null) return refuse(outcome, NOBODY, set)
    if (outcome.status !== "accepted") return refuse(outcome, aboutOf(call, payer), set)
    tellRate(set.headers, payer, outcome.rate)
    tellCharge(set.headers, chargeIdOf(payer.accountId, outcome), outcome)
    set.headers["x-account-id"] = payer.accountId
    set.headers["x-key-id"] = payer.keyId
    return ""
  }
}

/** Charges the call that a reverse proxy is about to pass on. */
function handleAuthorize(call: Call, steps: CallSteps): Promise<Decision<Charged | Refusal>> {
  const operation = readOperation(call.request)
  return decide<Charged | Refusal>(call, steps, charge)

  async function charge(payer: Payer): Promise<ChargeOutcome | CallRefused> {
    if ("status" in operation) return operation
    const { method, uri } = operation
    const [path = ""] = uri.split("?")
    let matched = steps.prices.match(method, path)
    if (matched === null) {
      await steps.prices.lookAgain()
      matched = steps.prices.match(method, path)
    }
    if (matched === null) {
      return { status: "unknown_interface", interface: `${method} ${path}` }
    }
    call.wish.interface = matched.route.id
    call.route = `${ROUTE} ${method} ${path}`
    const item = itemOf(call, payer, steps.prices, uri)
    return "status" in item ? item : steps.ledger.charge(item)
  }
}

/**
 * What is asked about. Envoy sends the call's own method, and its path behind ours. Other proxies
 * name both in headers; where they are told by both families and these do not agree, one of them is
 * the caller's own, who would choose what he pays for.
 */
function readOperation({ method, headers, url }: Request): Operation | CallRefused {
  const asked = pathOf(url).slice(ROUTE.length)
  if (asked.startsWith("/")) return { method, uri: asked }
  const [operation, other] = FAMILIES.flatMap((names) => {
    const [told, uri] = [headers.get(names.method), headers.get(names.uri)]
    return told === null && uri === null ? [] : [{ method: told, uri }]
  })
  if (operation === undefined || operation.method === null || operation.uri === null) {
    return { status: "operation_missing" }
  }
  if (!operation.uri.startsWith("/")) return { status: "operation_missing" }
  const isSame =
    (other?.method ?? operation.method) === operation.method &&
    (other?.uri ?? operation.uri) === operation.uri
  if (!isSame) return { status: "operation_ambiguous" }
  return { method: operation.method, uri: operation.uri }
}

/** Path and query of a URL of ours. */
function pathOf(url: string): string {
  return url.slice(url.indexOf("/", url.indexOf("//") + 2))
}
