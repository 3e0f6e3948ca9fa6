import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { newId } from "../../src/ids.ts"
import { keyed, limitsOf, type Outcome } from "../support/batches.ts"
import { type Gateway, type Scripts, startScripts } from "../support/scripts.ts"
import { expectBooks } from "./books.ts"

/** Calls per second: a bucket of as many calls, counted in thousandths, that fills as time passes. */
let scripts: Scripts
let gateway: Gateway
beforeAll(async () => {
  scripts = await startScripts()
  gateway = await scripts.gateway()
})
afterEach(() => expectBooks(scripts))
afterAll(() => scripts.stop())

const NOON = Date.UTC(2035, 4, 15, 4)

async function limited(ratePerSecond: number, counter = {}) {
  await scripts.setClock(NOON)
  const [accountId, keyId] = [await scripts.put({ balanceFen: 1_000_000 }), newId("key")]
  await scripts.writeCounter(keyId, counter)
  const limits = limitsOf(keyId, { ratePerSecond, dailyFen: 1_000 })
  return { accountId, keyId, limits, charge: { accountId, limits } }
}

/** Each item's status, calls left, and milliseconds until there is one more (or all). */
async function rates(items: Parameters<Gateway["send"]>[0]) {
  const { outcomes } = await gateway.send(items)
  return outcomes.map(rateOf)
}

function rateOf(outcome: Outcome): [string, ...(number | null)[]] {
  const rate = "rate" in outcome ? outcome.rate : null
  return [outcome.status, rate?.remaining ?? null, rate?.resetMs ?? null]
}

describe("a rate limit", () => {
  test("allows as many calls at once as a second has, and says how many are left", async () => {
    const { charge } = await limited(4)
    expect(await rates([charge, charge, charge, charge, charge, charge])).toEqual([
      ["accepted", 3, 250],
      ["accepted", 2, 500],
      ["accepted", 1, 750],
      ["accepted", 0, 250],
      ["rate_limited", 0, 250],
      ["rate_limited", 0, 250],
    ])
  })

  test("gives a call back in each share of a second, and not a millisecond before", async () => {
    const { charge } = await limited(4)
    await gateway.send([charge, charge, charge, charge])
    await scripts.setClock(NOON + 249)
    expect(await rates([charge])).toEqual([["rate_limited", 0, 1]])
    await scripts.setClock(NOON + 250)
    expect(await rates([charge, charge])).toEqual([
      ["accepted", 0, 250],
      ["rate_limited", 0, 250],
    ])
    await scripts.setClock(NOON + 800)
    expect(await rates([charge, charge, charge])).toEqual([
      ["accepted", 1, 700],
      ["accepted", 0, 200],
      ["rate_limited", 0, 200],
    ])
  })

  test("never has more than a second's calls, however long nobody came", async () => {
    const { charge } = await limited(2)
    await gateway.send([charge, charge])
    await scripts.setClock(NOON + 3_600_000)
    expect(await rates([charge, charge, charge])).toEqual([
      ["accepted", 1, 500],
      ["accepted", 0, 500],
      ["rate_limited", 0, 500],
    ])
  })

  test("loses no thousandth where shares of a second are no whole milliseconds", async () => {
    const { charge } = await limited(3)
    await gateway.send([charge, charge, charge])
    let accepted = 0
    for (let ms = 1; ms <= 3_000; ms += 7) {
      await scripts.setClock(NOON + ms)
      const [outcome] = await rates([charge])
      if (outcome?.[0] === "accepted") accepted++
    }
    expect(accepted).toBe(8)
  })

  test("of the highest kind counts exactly", async () => {
    const { keyId, charge } = await limited(1_000_000)
    expect(await rates([charge])).toEqual([["accepted", 999_999, 1]])
    expect(await scripts.counter(keyId)).toMatchObject({ tokens: 999_999_000, tokensAtMs: NOON })
    await scripts.setClock(NOON + 1)
    expect(await rates([charge])).toEqual([["accepted", 999_999, 1]])
  })

  test("counts holds like charges, and a resolution gives no call back", async () => {
    const { keyId, charge } = await limited(2)
    const sent = await gateway.send([{ verb: "hold", ...charge }])
    const [outcome] = sent.outcomes
    if (outcome?.status !== "held") throw new Error("the first call must be held")
    await gateway.send([{ verb: "void", holdId: outcome.holdId }])
    expect(await scripts.counter(keyId)).toMatchObject({ tokens: 1_000, totalFen: 0 })
  })

  test("that becomes lower takes hold at once", async () => {
    const { accountId, keyId, charge } = await limited(100)
    expect(await rates([charge])).toEqual([["accepted", 99, 10]])
    const lower = { accountId, limits: limitsOf(keyId, { ratePerSecond: 1 }) }
    expect(await rates([lower, lower])).toEqual([
      ["accepted", 0, 1_000],
      ["rate_limited", 0, 1_000],
    ])
  })

  test("that a key with budgets comes to have begins with all its calls", async () => {
    const { accountId, keyId, charge } = await limited(2)
    const budgets = { accountId, limits: limitsOf(keyId, { dailyFen: 1_000 }) }
    await gateway.send([budgets, budgets])
    expect(await rates([charge, charge, charge])).toEqual([
      ["accepted", 1, 500],
      ["accepted", 0, 500],
      ["rate_limited", 0, 500],
    ])
  })
})

describe("what is left is told as it is", () => {
  test("where a budget or the balance refuses: no call was taken", async () => {
    const { accountId, keyId, limits, charge } = await limited(5)
    await gateway.send([charge])
    const items = [
      { accountId, limits, amountFen: 1_001 },
      { accountId, limits: limitsOf(keyId, { ratePerSecond: 5 }), amountFen: 1_000_001 },
    ]
    expect(await rates(items)).toEqual([
      ["key_budget_reached", 4, 200],
      ["insufficient_balance", 4, 200],
    ])
    expect(await rates([charge])).toEqual([["accepted", 3, 400]])
  })

  test("where a request is repeated, and where its key is refused", async () => {
    const { charge } = await limited(5)
    const digest = newId("key").slice(4)
    const request = { ...charge, idempotency: keyed(digest) }
    expect(await rates([request])).toEqual([["accepted", 4, 200]])
    const other = { ...charge, idempotency: keyed(digest, { fingerprint: "other!" }) }
    expect(await rates([request, other])).toEqual([
      ["accepted", 4, 200],
      ["idempotency_key_reused", 4, 200],
    ])
  })
})
