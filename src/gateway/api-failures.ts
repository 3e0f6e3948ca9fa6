import type { ErrorCode } from "../errors.ts"
import { type Outgoing, writeProblem } from "../http/problem.ts"
import type { Rate, Unavailable } from "../ledger/items.ts"
import type { Metrics } from "../metrics.ts"
import type { Payer } from "./authenticate.ts"
import { aboutOf, NOBODY } from "./call.ts"
import type { Forwarded } from "./forward.ts"
import { type ApiCall, interfaceOf, type Unforwarded } from "./hold-call.ts"
import type { Interface } from "./interfaces.ts"
import { type Refusal, type Refuser, tellRate } from "./refuse.ts"
import type { SparingLog } from "./sparing-log.ts"
import type { Unpaid } from "./unpaid.ts"

/** Why a call that could be paid has no answer of its upstream. Nothing is charged for it. */
export type Failure =
  | Exclude<Forwarded, { status: "answered" }>
  | Unforwarded
  | { status: "cost_unreadable" }

/** A call, who would have paid for it, and why he does not. */
export type Unanswered = {
  call: ApiCall
  payer: Payer | null
  rate: Rate | null
  reason: Failure | Refusal | Unavailable
}

export type FailureDeps = {
  refuser: Refuser
  unpaid: Pick<Unpaid, "refused" | "failed">
  metrics: Pick<Metrics, "counted">
}

/** What the caller is told in place of an answer of the upstream. */
export function createFailures({ refuser, unpaid, metrics }: FailureDeps, tell: SparingLog) {
  return function answerFailure({ call, payer, rate, reason }: Unanswered, set: Outgoing): string {
    metrics.counted("calls", reason.status)
    if (!isFailure(reason)) {
      return refuser.refuse(reason, payer === null ? NOBODY : aboutOf(call, payer), set)
    }
    if (payer === null) throw new Error("broken invariant: a call of nobody goes on")
    const route = interfaceOf(call)
    const counted = { payer, interface: route.id }
    if (reason.status === "body_too_large") unpaid.refused(counted)
    else unpaid.failed(counted)
    const trouble = troubleOf(reason)
    if (trouble !== null) tell(`the upstream of ${route.id}`, trouble)
    tellRate(set.headers, payer, rate)
    const { code, detail } = describe(reason, route)
    return writeProblem(code, { detail }, set)
  }
}

function isFailure(reason: Unanswered["reason"]): reason is Failure {
  switch (reason.status) {
    case "upstream_timeout":
    case "upstream_failed":
    case "upstream_missing":
    case "cost_unreadable":
    case "body_too_large":
    case "caller_gone":
      return true
    default:
      return false
  }
}

/** What the operator hears of it; null: it is no fault of the upstream. */
function troubleOf(failure: Failure): string | null {
  switch (failure.status) {
    case "upstream_timeout":
      return "no answer in time"
    case "upstream_failed":
      return `no answer (${failure.code})`
    case "cost_unreadable":
      return "X-Cost-Fen is no whole number of fen"
    case "upstream_missing":
    case "body_too_large":
    case "caller_gone":
      return null
  }
}

function describe(failure: Failure, route: Interface): { code: ErrorCode; detail: string } {
  switch (failure.status) {
    case "upstream_timeout":
      return {
        code: "upstream_timeout",
        detail: `The upstream did not answer within ${route.timeoutMs} ms. Nothing was charged.`,
      }
    case "upstream_failed":
      return {
        code: "upstream_failed",
        detail: "The upstream cannot be reached, or its answer is no HTTP. Nothing was charged.",
      }
    case "upstream_missing":
      return {
        code: "upstream_failed",
        detail: `The interface "${route.id}" has no upstream: an administrator sets its upstreamUrl. Nothing was charged.`,
      }
    case "cost_unreadable":
      return {
        code: "upstream_failed",
        detail: "The upstream's answer names a cost that is no amount. Nothing was charged.",
      }
    case "body_too_large":
      return {
        code: "body_too_large",
        detail: `A call of "${route.id}" may have a body of up to ${route.bodyBytesMax} bytes.`,
      }
    case "caller_gone":
      // Nobody hears it.
      return { code: "upstream_failed", detail: "The caller has hung up." }
  }
}
