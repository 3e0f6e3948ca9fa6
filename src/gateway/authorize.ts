import { ERRORS } from "../errors.ts"
import { type Outgoing } from "../http/problem.ts"
import type { Charged } from "../ledger/items.ts"
import { type Call, type CallSteps, handleCharge, UNPRICED } from "./call.ts"
import type { Decision } from "./decide.ts"
import { IDEMPOTENCY_HEADER } from "./idempotency.ts"
import type { Interfaces } from "./interfaces.ts"
import type { Refusal } from "./refuse.ts"

/** The operation that a reverse proxy asks about. */
export type Operation = { method: string; uri: string }

export type OperationRefused = { status: "operation_missing" } | { status: "operation_ambiguous" }

const PREFIX = "/v1/authorize"
const FAMILIES = [
  { method: "x-original-method", uri: "x-original-uri" },
  { method: "x-forwarded-method", uri: "x-forwarded-uri" },
]

/**
 * What is asked about. Envoy sends the call's own method, and its path behind ours. Other proxies
 * name both in headers; where they are told by both families and do not agree, one of them is the
 * caller's own, who would choose what he pays for.
 */
export function readOperation({ method, headers, url }: Request): Operation | OperationRefused {
  const asked = pathOf(url).slice(PREFIX.length)
  if (asked.startsWith("/")) return { method, uri: asked }
  const told = FAMILIES.flatMap((names) => {
    const [toldMethod, uri] = [headers.get(names.method), headers.get(names.uri)]
    return toldMethod === null && uri === null ? [] : [{ method: toldMethod ?? "", uri: uri ?? "" }]
  })
  const [operation, other] = told
  if (operation === undefined) return { status: "operation_missing" }
  if (operation.method === "" || !operation.uri.startsWith("/")) {
    return { status: "operation_missing" }
  }
  if (other === undefined) return operation
  const isSame = other.method === operation.method && other.uri === operation.uri
  return isSame ? operation : { status: "operation_ambiguous" }
}

/** Path and query of a URL of ours. */
function pathOf(url: string): string {
  return url.slice(url.indexOf("/", url.indexOf("//") + 2))
}
