/**
 * The routes that answer without a credential. All others are closed; a test walks through every
 * route of the app and compares.
 */
export const OPEN_ROUTES: readonly string[] = [
  "POST /v1/accounts",
  "POST /v1/sessions",
  "GET /v1/interfaces",
  "GET /livez",
  "GET /readyz",
  // Closed by where the client is, or by a token of its own.
  "GET /metrics",
  "GET /openapi.json",
]

/** The routes that an API key or a service key opens; `GET /v1/balance` checks a token by itself. */
export const KEY_ROUTES: readonly string[] = [
  "POST /v1/charges",
  "POST /v1/charges/batch",
  "POST /v1/holds",
  "POST /v1/holds/:holdId/capture",
  "POST /v1/holds/:holdId/void",
  "ALL /v1/authorize",
  "ALL /v1/authorize/*",
]

/** The routes that a service key opens, and no other credential. */
export const SERVICE_ROUTES: readonly string[] = ["POST /v1/charges/:chargeId/reversal"]
