import { expect, test } from "bun:test"
import { ERRORS } from "../../src/errors.ts"
import { describeRefusal, type Refusal } from "../../src/gateway/refusals.ts"
import { createRefuser } from "../../src/gateway/refuse.ts"
import { newAccountId } from "../../src/ids.ts"
import { fen } from "../../src/money.ts"

/** Every reason for which a call is not made: its code, its status, and what it says beside them. */

const rate = { limit: 10, remaining: 0, resetMs: 1_001 }
const payer = {
  keyId: "key_1",
  accountId: newAccountId(),
  authVersion: 1,
  servicesVersion: null,
  limits: {
    keyId: "key_1",
    version: 1,
    dailyFen: fen(500),
    monthlyFen: null,
    totalFen: null,
    ratePerSecond: 10,
    expiresAtMs: null,
  },
  allowedAddresses: null,
  interfaces: null,
  scope: "",
}
const ABOUT = { payer, amountFen: 7 }
const none = { rate: null }
const charged = { amountFen: fen(7), seq: 5, atMs: Date.UTC(2026, 4, 15) }

const ROWS: [Refusal, number, string, object][] = [
  [{ status: "missing_credential" }, 401, "missing_credential", {}],
  [{ status: "invalid_credential" }, 401, "invalid_credential", {}],
  [{ status: "account_closed", ...none }, 401, "invalid_credential", {}],
  [{ status: "key_disabled" }, 401, "key_disabled", {}],
  [{ status: "key_expired", ...none }, 401, "key_expired", {}],
  [
    { status: "insufficient_balance", balanceFen: fen(100), heldFen: fen(99), ...none },
    ...([402, "insufficient_balance"] as const),
    { balanceFen: 100, availableFen: 1, available: "0.01", requiredFen: 7, required: "0.07" },
  ],
  [
    { status: "key_budget_reached", limitSource: "daily", ...none },
    ...([402, "key_budget_reached"] as const),
    { limitSource: "daily", budgetFen: 500, budget: "5.00", requiredFen: 7 },
  ],
  [{ status: "service_not_allowed" }, 403, "not_allowed", {}],
  [{ status: "account_frozen", ...none }, 403, "account_frozen", {}],
  [{ status: "ip_not_allowed", address: "192.0.2.1" }, 403, "ip_not_allowed", {}],
  [{ status: "interface_not_allowed", interface: "a" }, 403, "interface_not_allowed", {}],
  [{ status: "account_not_found" }, 404, "not_found", {}],
  [{ status: "hold_not_found" }, 404, "not_found", {}],
  [{ status: "unknown_interface", interface: "a" }, 404, "unknown_interface", {}],
  [{ status: "request_in_progress", ...none }, 409, "request_in_progress", { retryable: true }],
  [
    { status: "already_charged", ...charged, ...none },
    ...([409, "already_charged"] as const),
    { chargeId: `chg_${payer.accountId.slice(5)}_202605_5`, amountFen: 7, amount: "0.07" },
  ],
  [{ status: "hold_already_resolved" }, 409, "hold_already_resolved", {}],
  [{ status: "hold_expired" }, 409, "hold_expired", {}],
  [{ status: "hold_lost" }, 409, "hold_lost", {}],
  [{ status: "idempotency_key_reused", ...none }, 422, "idempotency_key_reused", {}],
  [
    { status: "capture_exceeds_hold", holdFen: fen(6) },
    422,
    "capture_exceeds_hold",
    { holdFen: 6 },
  ],
  [{ status: "amount_too_large" }, 422, "validation_failed", {}],
  [{ status: "bad_idempotency_key" }, 422, "validation_failed", {}],
  [{ status: "operation_missing" }, 422, "validation_failed", {}],
  [{ status: "operation_ambiguous" }, 422, "validation_failed", {}],
  [{ status: "field_missing", path: "/interface" }, 422, "validation_failed", {}],
  [{ status: "field_unwanted", path: "/apiKey" }, 422, "validation_failed", {}],
  [{ status: "rate_limited", rate }, 429, "rate_limited", { retryable: true }],
  [{ status: "unavailable" }, 503, "billing_unavailable", { retryable: true }],
]

function refuserOf() {
  const counted: string[] = []
  const unpaid = {
    refused: (call: { interface: string }) => void counted.push(`refused ${call.interface}`),
    failed: (call: { interface: string }) => void counted.push(`failed ${call.interface}`),
  }
  return { ...createRefuser({ publicUrl: "https://a.test", unpaid }), counted }
}

type Headers = Record<string, string | number>
const setOf = (): { status?: number | string; headers: Headers } => ({ headers: {} })

test.each(ROWS)("%j is %i %s", (refusal, status, code, fields) => {
  const set = setOf()
  const body = JSON.parse(refuserOf().refuse(refusal, ABOUT, set))
  expect(set.status).toBe(status)
  expect(body).toMatchObject({ status, code, ...fields })
  expect(body.detail).not.toBe("")
  expect(set.headers["content-type"]).toBe("application/problem+json")
  expect(set.headers["ratelimit-policy"]).toBe('"key";q=10;w=1')
})

test("each refusal has words of its own, beside those that a caller cannot mend", () => {
  const details = ROWS.map(([refusal]) => describeRefusal(refusal, ABOUT, "").fields.detail)
  const said = details.filter((detail) => detail !== undefined)
  expect(said).toHaveLength(ROWS.length - 3)
  // The key of a closed account is as invalid as any other.
  expect(new Set(said).size).toBe(said.length - 1)
})

test("headers say when to come again, which charge it was, and what is left", () => {
  const headersOf = (wanted: string) => {
    const set = setOf()
    const [refusal] = ROWS.find(([{ status }]) => status === wanted) ?? []
    if (refusal === undefined) throw new Error(`no row for ${wanted}`)
    refuserOf().refuse(refusal, ABOUT, set)
    return set.headers
  }
  expect(headersOf("rate_limited")).toMatchObject({
    ...{ "retry-after": "2", ratelimit: '"key";r=0;t=2' },
  })
  expect(headersOf("unavailable")).toMatchObject({ "retry-after": "1" })
  expect(headersOf("request_in_progress")).toMatchObject({ "retry-after": "1" })
  const chargeId = `chg_${payer.accountId.slice(5)}_202605_5`
  expect(headersOf("already_charged")).toMatchObject({ "x-charge-id": chargeId })
  expect(headersOf("missing_credential")).toMatchObject({ "www-authenticate": "Bearer" })
})

test("for nginx, all but 401, 403 and 503 are 403, in the body too", () => {
  for (const [refusal, status, code] of ROWS) {
    const set = setOf()
    const body = JSON.parse(refuserOf().deny(refusal, ABOUT, set))
    const passedOn = [401, 403, 503].includes(status) ? status : 403
    expect([code, set.status, body.status, body.code]).toEqual([code, passedOn, passedOn, code])
    expect(set.headers["x-billing-code"]).toBe(code)
  }
})

test("a refused call is counted once, and a malformed request is none", () => {
  for (const [refusal, status] of ROWS) {
    const { refuse, deny, counted } = refuserOf()
    refuse(refusal, { ...ABOUT, interface: "a" }, setOf())
    deny(refusal, { ...ABOUT, interface: "a" }, setOf())
    refuse(refusal, ABOUT, setOf())
    const isNone = ["bad_", "field_", "operation_"].some((each) => refusal.status.startsWith(each))
    const name = refusal.status === "unknown_interface" ? "unknown" : "a"
    const kind = status === 503 ? "failed" : "refused"
    expect(counted).toEqual(isNone ? [] : [`${kind} ${name}`, `${kind} ${name}`])
  }
})

test("where a service key names the account, a closed one is not found", () => {
  const named = { payer: { ...payer, authVersion: null, servicesVersion: 1 }, amountFen: 7 }
  const { code } = describeRefusal({ status: "account_closed", rate: null }, named, "")
  expect([code, ERRORS[code].status]).toEqual(["not_found", 404])
})
