import { afterAll, beforeAll, expect, test } from "bun:test"
import { newAccountId, newId, randomChars } from "../../src/ids.ts"
import { holdIdOf, type ItemOf, keyed, limitsOf } from "../support/batches.ts"
import { readLuaFiles } from "../support/lua-files.ts"
import { type Gateway, type Scripts, startScripts } from "../support/scripts.ts"

/** Each outcome of decide.lua's header happens, and reads in TypeScript as the header names it. */
let scripts: Scripts
let gateway: Gateway
beforeAll(async () => {
  scripts = await startScripts()
  gateway = await scripts.gateway()
})
afterAll(() => scripts.stop())

/** In its place the batch whose last item has the outcome, and what that reads as. */
const CASES: [name: string, make: () => Promise<ItemOf[]>, told: object][] = [
  ["accepted", async () => [{ accountId: await rich() }], { status: "accepted" }],
  [
    "account_unknown",
    async () => [{ accountId: newAccountId() }],
    { status: "account_unknown", rate: null },
  ],
  [
    "account_frozen",
    async () => [{ accountId: await scripts.put({ status: "frozen" }) }],
    { status: "account_frozen", rate: null },
  ],
  [
    "account_closed",
    async () => [{ accountId: await scripts.put({ status: "closed" }) }],
    { status: "account_closed", rate: null },
  ],
  [
    "auth_changed",
    async () => [{ accountId: await scripts.put({ authVersion: 8 }) }],
    { status: "auth_changed", authVersion: 8, rate: null },
  ],
  [
    "insufficient_balance",
    async () => [{ accountId: await scripts.put({ balanceFen: 5, heldFen: 5 }) }],
    { status: "insufficient_balance", balanceFen: 5, heldFen: 5, rate: null },
  ],
  [
    "service_changed",
    async () => [{ accountId: await rich(), servicesVersion: 99 }],
    { status: "service_changed", rate: null },
  ],
  ["replayed", () => repeated(keyed(randomChars(16)), true), { isReplay: true, seq: 1 }],
  [
    "idempotency_key_reused",
    async () => {
      const digest = randomChars(16)
      const [item] = await repeated(keyed(digest), true)
      if (item === undefined) throw new Error("there is one item")
      return [{ ...item, idempotency: keyed(digest, { fingerprint: "other!" }) }]
    },
    { status: "idempotency_key_reused", rate: null },
  ],
  [
    "request_in_progress",
    async () => {
      const idempotency = keyed(randomChars(16), { isOnce: true })
      const hold = { verb: "hold", accountId: await rich(), idempotency } as const
      return [hold, hold]
    },
    { status: "request_in_progress", rate: null },
  ],
  [
    "already_charged",
    () => repeated(keyed(randomChars(16), { isOnce: true }), true),
    { status: "already_charged", amountFen: 1, seq: 1 },
  ],
  [
    "key_expired",
    async () => [{ accountId: await rich(), limits: limitsOf(newId("key"), { expiresAtMs: 1 }) }],
    { status: "key_expired", rate: null },
  ],
  ["daily", () => overLimit({ dailyFen: 1 }), reached("daily")],
  ["monthly", () => overLimit({ monthlyFen: 1 }), reached("monthly")],
  ["total", () => overLimit({ totalFen: 1 }), reached("total")],
  [
    "rate_limited",
    () => overLimit({ ratePerSecond: 1 }),
    { status: "rate_limited", rate: { limit: 1, remaining: 0 } },
  ],
  [
    "counter_missing",
    async () => [{ accountId: await rich(), limits: limitsOf(newId("key"), { dailyFen: 1 }) }],
    { status: "counter_missing", rate: null },
  ],
  [
    "hold_not_found",
    async () => [resolutionOf(`hold_${(await rich()).slice(5)}${randomChars(16)}.1`)],
    { status: "hold_not_found" },
  ],
  [
    "hold_already_resolved",
    async () => {
      const holdId = await held()
      return [{ verb: "void", holdId }, resolutionOf(holdId)]
    },
    { status: "hold_already_resolved" },
  ],
  [
    "hold_expired",
    async () => [resolutionOf(await held({ ttlMs: 0 }))],
    { status: "hold_expired" },
  ],
  [
    "capture_exceeds_hold",
    async () => [{ verb: "capture", holdId: await held(), amountFen: 2 }],
    { status: "capture_exceeds_hold", holdFen: 1 },
  ],
  [
    "hold_not_due",
    async () => [{ verb: "void", holdId: await held(), isExpiry: true }],
    { status: "unavailable" },
  ],
  ["saturated", async () => [{ accountId: await rich() }], { status: "unavailable" }],
  ["replayed", () => repeated(keyed(randomChars(16)), false), { isReplay: true, seq: 1 }],
]

test("every outcome of the header has its case, in its order", () => {
  const named = readLuaFiles().find(({ name }) => name === "decide")?.items
  expect(named).toEqual(CASES.map(([name], byte) => ({ byte, name })))
})

for (const [byte, [name, make, told]] of CASES.entries()) {
  test(`${byte} ${name}`, async () => {
    const items = await make()
    if (name === "saturated") await scripts.writeMeta({ written: 15, flushed: 0 })
    const sent = await gateway.send(items, name === "saturated" ? { unflushedMax: 10 } : {})
    expect(sent.bytes.at(-1)).toBe(byte)
    expect(sent.outcomes.at(-1)).toMatchObject(told)
  })
}

const rich = () => scripts.put({ balanceFen: 100 })
const resolutionOf = (holdId: string) => ({ verb: "capture", holdId }) as const

function reached(limitSource: string): object {
  return { status: "key_budget_reached", limitSource, rate: null }
}

async function repeated(
  idempotency: ReturnType<typeof keyed>,
  isOfLaterBatch: boolean,
): Promise<ItemOf[]> {
  const item = { accountId: await rich(), idempotency }
  if (!isOfLaterBatch) return [item, item]
  await gateway.send([item])
  return [item]
}

async function overLimit(limit: Parameters<typeof limitsOf>[1]): Promise<ItemOf[]> {
  const [accountId, keyId] = [await rich(), newId("key")]
  await scripts.writeCounter(keyId)
  const item = { accountId, limits: limitsOf(keyId, limit) }
  return [item, item]
}

async function held({ ttlMs = 60_000 } = {}): Promise<string> {
  return holdIdOf(await gateway.send([{ verb: "hold", accountId: await rich(), ttlMs }]))
}
