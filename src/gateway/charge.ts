import { IDEMPOTENCY_HEADER } from "../http/idempotency-key.ts"
import type { Outgoing } from "../http/problem.ts"
import { requestIdOf } from "../http/request-id.ts"
import { writeCharge } from "./answer.ts"
import {
  aboutOf,
  type CallDeps,
  handleCharge,
  NOBODY,
  saleOf,
  UNPRICED,
  type Wish,
} from "./call.ts"
import { tellRate } from "./refuse.ts"

type Incoming = { request: Request; body: Wish; set: Outgoing }

/** `POST /v1/charges`. */
export function createCharge({ steps, metrics, refuser }: CallDeps) {
  return async function charge({ request, body, set }: Incoming): Promise<string> {
    const startedAt = performance.now()
    const call = {
      request,
      named: body,
      wish: body,
      requestId: requestIdOf(set.headers),
      route: "POST /v1/charges",
      idempotencyKey: request.headers.get(IDEMPOTENCY_HEADER),
      isOnce: false,
      amountFen: UNPRICED,
    }
    const { payer, outcome } = await handleCharge(call, steps)
    metrics.chargeDecided(outcome.status, (performance.now() - startedAt) / 1_000)
    if (payer === null) return refuser.refuse(outcome, NOBODY, set)
    if (outcome.status !== "accepted") return refuser.refuse(outcome, aboutOf(call, payer), set)
    tellRate(set.headers, payer, outcome.rate)
    return writeCharge(outcome, saleOf(call, payer, outcome), set.headers)
  }
}
