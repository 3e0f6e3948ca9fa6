import { Elysia } from "elysia"
import type { ProblemFields } from "../errors.ts"
import { jsonBody } from "../http/body.ts"
import { type Outgoing, writeProblem } from "../http/problem.ts"
import { requestIdOf } from "../http/request-id.ts"
import type { Metrics } from "../metrics.ts"
import { AMOUNT_FEN_MAX, availableCalls, formatCny } from "../money.ts"
import { writeCharge } from "./answer.ts"
import { type BalanceAnswer, handleBalance } from "./balance.ts"
import { type CallSteps, type ChargeAnswer, type ChargeRequest, handleCharge } from "./call.ts"
import { Balance, BalanceQuery, Charge, ChargeRequestBody, describeCall } from "./model.ts"

export type GatewayDeps = {
  steps: CallSteps & Parameters<typeof handleBalance>[1]
  /** The balance of an access token's account, for callers that are people and not keys. */
  readTokenBalance(request: Request): Promise<BalanceAnswer | { status: "not_a_token" }>
  metrics: Pick<Metrics, "chargeDecided">
  publicUrl: string
}

const KEY_ERRORS = [
  "missing_credential",
  "invalid_credential",
  "key_disabled",
  "billing_unavailable",
] as const

/** The hot path: what an API key may call. */
export function createGateway({ steps, readTokenBalance, metrics, publicUrl }: GatewayDeps) {
  return new Elysia({ name: "gateway", normalize: false })
    .post("/v1/charges", charge, {
      parse: jsonBody,
      body: ChargeRequestBody,
      ...describeCall({
        summary: "Charge one call",
        answer: Charge,
        headers: {
          "X-Charge-Id": "The chargeId.",
          "X-Charge-Fen": "What was taken, in fen.",
          "X-Available-Fen": "What may be spent afterwards, in fen.",
        },
        security: [{ apiKey: [] }],
        errors: [...KEY_ERRORS, "insufficient_balance", "account_frozen", "unknown_interface"],
      }),
    })
    .get("/v1/balance", balance, {
      query: BalanceQuery,
      ...describeCall({
        summary: "What an account has, holds and may spend",
        answer: Balance,
        security: [{ apiKey: [] }, { accessToken: [] }, { sessionCookie: [] }],
        errors: [...KEY_ERRORS, "unknown_interface"],
      }),
    })

  async function charge({
    request,
    body,
    set,
  }: {
    request: Request
    body: { interface: string; quantity?: number; description?: string }
    set: Outgoing
  }): Promise<string> {
    const startedAt = performance.now()
    const call = {
      headers: request.headers,
      requestId: requestIdOf(set.headers),
      interface: body.interface,
      quantity: body.quantity ?? 1,
      description: body.description ?? "",
    }
    const answer = await handleCharge(call, steps)
    metrics.chargeDecided(answer.status, (performance.now() - startedAt) / 1_000)
    return answer.status === "accepted"
      ? writeCharge(answer, call, set.headers)
      : refuse(answer, call, set)
  }

  async function balance({
    request,
    query,
    set,
  }: {
    request: Request
    query: { interface?: string }
    set: Outgoing
  }): Promise<unknown> {
    const price = query.interface === undefined ? 1 : steps.prices.priceOf(query.interface)
    if (price === null)
      return writeProblem("unknown_interface", unknownInterface(query.interface), set)
    const byToken = await readTokenBalance(request)
    const answer =
      byToken.status === "not_a_token" ? await handleBalance(request.headers, steps) : byToken
    if (answer.status !== "found") return refuseCredential(answer, set)
    const { balanceFen, heldFen, seq } = answer.account
    const availableFen = balanceFen - heldFen
    return {
      balanceFen,
      balance: formatCny(balanceFen),
      heldFen,
      held: formatCny(heldFen),
      availableFen,
      available: formatCny(availableFen),
      availableCalls: availableCalls({ available: availableFen, price }),
      rewardFen: 0,
      reward: formatCny(0),
      earningsFen: 0,
      earnings: formatCny(0),
      grants: [],
      seq,
    }
  }

  function refuse(
    answer: Exclude<ChargeAnswer, { status: "accepted" }>,
    call: ChargeRequest,
    set: Outgoing,
  ): string {
    switch (answer.status) {
      case "insufficient_balance":
        return writeProblem("insufficient_balance", shortOf(answer), set)
      case "unknown_interface":
        return writeProblem("unknown_interface", unknownInterface(call.interface), set)
      case "amount_too_large": {
        const message = `Price times quantity must be ${AMOUNT_FEN_MAX} fen or less.`
        const fields = { detail: message, errors: [{ path: "/quantity", message }] }
        return writeProblem("validation_failed", fields, set)
      }
      case "account_frozen":
        return writeProblem("account_frozen", {}, set)
      default:
        return refuseCredential(answer, set)
    }
  }

  function shortOf(
    answer: Extract<ChargeAnswer, { status: "insufficient_balance" }>,
  ): ProblemFields {
    const { balanceFen, heldFen, amountFen } = answer
    const available = formatCny(balanceFen - heldFen)
    return {
      // The exact sentence is PRODUCT's ("insufficient balance").
      detail: `Insufficient developer balance, current balance: ${available} CNY, please recharge and try again!`,
      balanceFen,
      balance: formatCny(balanceFen),
      availableFen: balanceFen - heldFen,
      available,
      requiredFen: amountFen,
      required: formatCny(amountFen),
      rechargeUrl: `${publicUrl}/console/recharge`,
    }
  }
}

function unknownInterface(name: string | undefined): ProblemFields {
  return { detail: `There is no interface "${name}". GET /v1/interfaces lists those there are.` }
}

/** Of a credential, no answer says more than its holder must know to mend it. */
function refuseCredential(
  { status }: Exclude<BalanceAnswer, { status: "found" }>,
  set: Outgoing,
): string {
  switch (status) {
    case "missing_credential":
      return writeProblem(
        status,
        { detail: "Send an API key, as Authorization: Bearer fk_… or X-Api-Key: fk_…." },
        set,
      )
    case "invalid_credential":
      return writeProblem(
        status,
        { detail: "This is not a valid API key: it may be mistyped, deleted, or of another kind." },
        set,
      )
    case "key_disabled":
      return writeProblem(
        status,
        { detail: "This API key is disabled. Enable it, or call with another." },
        set,
      )
    case "unavailable":
      return writeProblem("billing_unavailable", { headers: { "Retry-After": "1" } }, set)
  }
}
