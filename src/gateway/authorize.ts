import type { Charged } from "../ledger/items.ts"
import type { Payer } from "./authenticate.ts"
import { type Call, type CallSteps, itemOf, UNPRICED } from "./call.ts"
import { type Decision, decide } from "./decide.ts"
import { IDEMPOTENCY_HEADER } from "./idempotency.ts"
import type { Interfaces } from "./interfaces.ts"
import type { CallRefused, Refusal } from "./refuse.ts"

/** The operation that a reverse proxy asks about. */
type Operation = { method: string; uri: string }

export type AuthorizeSteps = CallSteps & { prices: Pick<Interfaces, "match"> }

const ROUTE = "/v1/authorize"
const FAMILIES = [
  { method: "x-original-method", uri: "x-original-uri" },
  { method: "x-forwarded-method", uri: "x-forwarded-uri" },
]

export type Authorization = { call: Call; decision: Decision<Charged | Refusal> }

/** Charges the call that a reverse proxy is about to pass on. */
export async function handleAuthorize(
  { request, requestId }: { request: Request; requestId: string },
  steps: AuthorizeSteps,
): Promise<Authorization> {
  const operation = readOperation(request)
  const call: Call = {
    request,
    named: null,
    wish: {},
    requestId,
    route: ROUTE,
    idempotencyKey: request.headers.get(IDEMPOTENCY_HEADER),
    // The answer of the API itself is what was paid for: it cannot be given again.
    isOnce: true,
    amountFen: UNPRICED,
  }
  return { call, decision: await decide<Charged | Refusal>(call, steps, charge) }

  async function charge(payer: Payer) {
    if ("status" in operation) return operation
    const { method, uri } = operation
    const [path = ""] = uri.split("?")
    let matched = steps.prices.match(method, path)
    if (matched === null) {
      await steps.prices.lookAgain()
      matched = steps.prices.match(method, path)
    }
    if (matched === null) {
      return { status: "unknown_interface", interface: `${method} ${path}` } as const
    }
    call.wish.interface = matched.route.id
    call.route = `${method} ${path}`
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
