import { afterAll, beforeAll, expect, test } from "bun:test"
import { newId } from "../../src/ids.ts"
import { counterKey } from "../../src/ledger/keys.ts"
import { limitsOf } from "../support/batches.ts"
import { type Scripts, startScripts } from "../support/scripts.ts"

/** seed_counter: what a key has spent before its counter was there, given to it once a version. */
let scripts: Scripts
beforeAll(async () => {
  scripts = await startScripts()
})
afterAll(() => scripts.stop())

const SPENT = { day: 20_000, dayFen: 3, month: 24_000, monthFen: 40, totalFen: 500 }

async function seed(keyId: string, version: number, args = ["1", "1"]) {
  const { day, dayFen, month, monthFen, totalFen } = SPENT
  const { status } = await scripts.run("seedCounter", {
    keys: ["{p0}:meta", counterKey(0, 1, keyId)],
    args: [...args, ...[version, day, dayFen, month, monthFen, totalFen].map(String)],
  })
  return status
}

test("a counter is made from what it is given, for ever, with all its calls per second", async () => {
  const keyId = newId("key")
  expect(await seed(keyId, 3)).toBe("seeded")
  expect(await scripts.counter(keyId)).toEqual({ version: 3, ...SPENT, tokens: 0, tokensAtMs: 0 })
  expect(await scripts.redis.pttl(counterKey(0, 1, keyId))).toBe(-1)
  const gateway = await scripts.gateway()
  const accountId = await scripts.put({ balanceFen: 100 })
  const limits = limitsOf(keyId, { version: 3, totalFen: 510, ratePerSecond: 4 })
  const { outcomes } = await gateway.send([
    { accountId, amountFen: 11, limits },
    { accountId, amountFen: 10, limits },
  ])
  expect(outcomes).toMatchObject([
    { status: "key_budget_reached", limitSource: "total", rate: { remaining: 4 } },
    { status: "accepted", rate: { limit: 4, remaining: 3 } },
  ])
})

test("of its version, or of a later one, it is left as it is; of an earlier one it is made anew", async () => {
  const keyId = newId("key")
  await scripts.writeCounter(keyId, { version: 5, totalFen: 77, tokens: 9, tokensAtMs: 8 })
  for (const version of [0, 4, 5]) {
    expect(await seed(keyId, version)).toBe("seeded")
    expect(await scripts.counter(keyId)).toMatchObject({ version: 5, totalFen: 77, tokens: 9 })
  }
  expect(await seed(keyId, 6)).toBe("seeded")
  expect(await scripts.counter(keyId)).toMatchObject({ version: 6, totalFen: 500, tokens: 0 })
})

test("another generation, another number of partitions, and a Redis without meta are refused", async () => {
  const keyId = newId("key")
  expect(await seed(keyId, 1, ["2", "1"])).toBe("fenced")
  expect(await seed(keyId, 1, ["1", "2"])).toBe("fenced")
  await scripts.redis.rename("{p0}:meta", "kept")
  expect(await seed(keyId, 1)).toBe("fenced")
  await scripts.redis.rename("kept", "{p0}:meta")
  expect(await scripts.counter(keyId)).toBeNull()
})
