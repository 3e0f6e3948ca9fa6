import { Elysia } from "elysia"
import { createJsonBody, jsonBody } from "../http/body.ts"
import { createBodyOf, type PastEdge } from "../http/past-edge.ts"
import { BATCH_BODY_BYTES_MAX } from "../limits.ts"
import { createAuthorize } from "./authorize.ts"
import { createBalance } from "./balance.ts"
import { createBatch } from "./batch.ts"
import type { CallDeps } from "./call.ts"
import { createCharge } from "./charge.ts"
import { createHolds, optionalBody } from "./holds.ts"
import {
  AuthorizeQuery,
  Balance,
  BalanceQuery,
  Batch,
  BatchBody,
  CaptureBody,
  Charge,
  ChargeRequestBody,
  describeCall,
  HEADERS,
  Hold,
  HoldBody,
  VoidBody,
  VoidedHold,
} from "./model.ts"
import type { ReadTokenBalance } from "./token-balance.ts"

export type GatewayDeps = CallDeps & {
  /** The balance of an access token's account, for callers that are people and not keys. */
  readTokenBalance: ReadTokenBalance
  pastEdge: PastEdge
}

const CREDENTIAL_ERRORS = [
  "missing_credential",
  "invalid_credential",
  "key_disabled",
  "key_expired",
  "ip_not_allowed",
  "billing_unavailable",
] as const
const SPENDING_ERRORS = [
  ...CREDENTIAL_ERRORS,
  "insufficient_balance",
  "key_budget_reached",
  "account_frozen",
  "interface_not_allowed",
  "unknown_interface",
  "rate_limited",
] as const
const KEYED_ERRORS = ["request_in_progress", "idempotency_key_reused"] as const
const HOLD_ERRORS = [
  ...CREDENTIAL_ERRORS,
  ...KEYED_ERRORS,
  "not_found",
  "hold_already_resolved",
  "hold_expired",
  "hold_lost",
] as const
const KEYS = [{ apiKey: [] }, { serviceKey: [] }]

/**
 * The hot path: what an API key or a service key may call. The hottest of it is a route of the
 * server itself; the framework's stands in the document, and answers while the server stops.
 */
export function createGateway(deps: GatewayDeps) {
  const charge = createCharge(deps)
  const bodyOf = createBodyOf(jsonBody, ChargeRequestBody)
  const POST = deps.pastEdge("/v1/charges", async ({ request, set }) =>
    charge({ request, set, body: await bodyOf(request) }),
  )
  return { plugin: createPlugin(deps, charge), routes: { "/v1/charges": { POST } } }
}

function createPlugin(deps: GatewayDeps, charge: ReturnType<typeof createCharge>) {
  const { hold, capture, release } = createHolds(deps)
  const { authorize, authorizeBehind } = createAuthorize(deps)
  return new Elysia({ name: "gateway", normalize: false })
    .post("/v1/charges", charge, {
      parse: jsonBody,
      body: ChargeRequestBody,
      ...describeCall({
        summary: "Charge one call",
        answer: Charge,
        headers: [HEADERS.paid, HEADERS.replay, HEADERS.rate],
        isKeyed: true,
        security: KEYS,
        errors: [...SPENDING_ERRORS, ...KEYED_ERRORS, "not_found"],
      }),
    })
    .post("/v1/charges/batch", createBatch(deps), {
      parse: createJsonBody(BATCH_BODY_BYTES_MAX),
      body: BatchBody,
      ...describeCall({
        summary:
          "Charge many calls; each by itself. With an Idempotency-Key K, item i without a key of its own has the key K#i",
        answer: Batch,
        headers: [HEADERS.replay, HEADERS.rate],
        isKeyed: true,
        security: KEYS,
        errors: CREDENTIAL_ERRORS,
      }),
    })
    .post("/v1/holds", hold, {
      parse: jsonBody,
      body: HoldBody,
      ...describeCall({
        summary: "Reserve an amount until it is captured, voided, or its time is over",
        status: 201,
        answer: Hold,
        headers: [HEADERS.replay, HEADERS.rate],
        isKeyed: true,
        security: KEYS,
        errors: [...SPENDING_ERRORS, ...KEYED_ERRORS, "not_found"],
      }),
    })
    .post("/v1/holds/:holdId/capture", capture, {
      parse: optionalBody,
      body: CaptureBody,
      ...describeCall({
        summary: "Take what is held, or a part of it; the rest is available again",
        answer: Charge,
        headers: [HEADERS.paid, HEADERS.replay, HEADERS.rate],
        isKeyed: true,
        security: KEYS,
        errors: [...HOLD_ERRORS, "capture_exceeds_hold"],
      }),
    })
    .post("/v1/holds/:holdId/void", release, {
      parse: optionalBody,
      body: VoidBody,
      ...describeCall({
        summary: "Release what is held",
        answer: VoidedHold,
        headers: [HEADERS.replay, HEADERS.rate],
        isKeyed: true,
        security: KEYS,
        errors: HOLD_ERRORS,
      }),
    })
    .all("/v1/authorize", authorize, { query: AuthorizeQuery, ...AUTHORIZE })
    .all("/v1/authorize/*", authorizeBehind, AUTHORIZE)
    .get("/v1/balance", createBalance(deps), {
      query: BalanceQuery,
      ...describeCall({
        summary: "What an account has, holds and may spend",
        answer: Balance,
        headers: [{ "RateLimit-Policy": HEADERS.rate["RateLimit-Policy"] }],
        security: [...KEYS, { accessToken: [] }, { sessionCookie: [] }],
        errors: [...CREDENTIAL_ERRORS, "not_found", "unknown_interface"],
      }),
    })
}

const AUTHORIZE = describeCall({
  summary:
    "Charge the call that a reverse proxy asks about: its method and path are in X-Original-Method and X-Original-URI, in X-Forwarded-Method and X-Forwarded-Uri, or behind this path",
  answer: null,
  headers: [HEADERS.paid, HEADERS.rate, HEADERS.payer],
  isKeyed: true,
  security: [{ apiKey: [] }],
  errors: [...SPENDING_ERRORS, "not_allowed", "already_charged", "idempotency_key_reused"],
})
