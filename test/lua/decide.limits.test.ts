import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { newId } from "../../src/ids.ts"
import { holdIdOf, type ItemOf, keyed, limitsOf } from "../support/batches.ts"
import { type Gateway, type Scripts, startScripts } from "../support/scripts.ts"
import { expectBooks } from "./books.ts"

/** What an API key may spend per day, per month and for ever, until when, and what comes back. */
let scripts: Scripts
let gateway: Gateway
beforeAll(async () => {
  scripts = await startScripts()
  gateway = await scripts.gateway()
})
afterEach(() => expectBooks(scripts))
afterAll(() => scripts.stop())

/** Noon of a day in Shanghai; the scripts' time stands there. */
const NOON = Date.UTC(2035, 4, 15, 4)
const [DAY, MONTH] = [NOON / 86_400_000 - 4 / 24, 2035 * 12 + 4]
const DAY_MS = 86_400_000

type Budgets = Omit<Parameters<typeof limitsOf>[1], "version">

/** An account with 1,000 fen and a key with these limits, whose counter is there and empty. */
async function limited(budgets: Budgets, counter = {}) {
  await scripts.setClock(NOON)
  const [accountId, keyId] = [await scripts.put({ balanceFen: 1_000 }), newId("key")]
  await scripts.writeCounter(keyId, counter)
  const limits = limitsOf(keyId, budgets)
  const charge = (amountFen: number) => ({ accountId, amountFen, limits })
  const hold = (amountFen: number) => ({ verb: "hold", ...charge(amountFen) }) as const
  return { accountId, keyId, limits, charge, hold }
}

async function statuses(items: ItemOf[]): Promise<string[]> {
  const { outcomes } = await gateway.send(items)
  return outcomes.map((outcome) =>
    "limitSource" in outcome ? outcome.limitSource : outcome.status,
  )
}

describe("a budget", () => {
  for (const [source, name] of [
    ["daily", "dailyFen"],
    ["monthly", "monthlyFen"],
    ["total", "totalFen"],
  ] as const) {
    test(`${source}: charges and holds pass up to its last fen, and not one beyond`, async () => {
      const { accountId, keyId, charge, hold } = await limited({ [name]: 10 })
      const items = [charge(4), hold(4), charge(3), hold(3), charge(2), charge(1), hold(1)]
      expect(await statuses(items)).toEqual([
        ...["accepted", "held", source, source, "accepted", source, source],
      ])
      const spent = { version: 1, day: DAY, month: MONTH, dayFen: 10, monthFen: 10, totalFen: 10 }
      expect(await scripts.counter(keyId)).toMatchObject(spent)
      expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 994, heldFen: 4 })
    })
  }

  test("that is reached says no more than which, and what was refused counts nothing", async () => {
    const { keyId, charge, hold } = await limited({ dailyFen: 10 })
    await gateway.send([charge(9)])
    const counter = await scripts.counter(keyId)
    const { outcomes } = await gateway.send([charge(2), hold(2)])
    const reached = { status: "key_budget_reached", limitSource: "daily", rate: null }
    expect<object[]>(outcomes).toEqual([reached, reached])
    expect(await scripts.counter(keyId)).toEqual(counter)
  })

  test("counts nothing of what another reason refuses", async () => {
    const { accountId, keyId, limits } = await limited({ dailyFen: 5_000, ratePerSecond: 5 })
    const counter = await scripts.counter(keyId)
    const tooMuch = { accountId, amountFen: 1_001, limits }
    expect(await statuses([tooMuch, { verb: "hold", ...tooMuch }])).toEqual([
      "insufficient_balance",
      "insufficient_balance",
    ])
    expect(await scripts.counter(keyId)).toEqual(counter)
  })

  test("that leaves less than the balance is the reason that is told", async () => {
    const { accountId, limits } = await limited({ dailyFen: 10 })
    expect(await statuses([{ accountId, amountFen: 1_001, limits }])).toEqual(["daily"])
  })

  test("of the narrowest kind is told, from calls per second to the total", async () => {
    const counter = { day: DAY, dayFen: 5, month: MONTH, monthFen: 5, totalFen: 5 }
    const all = { dailyFen: 5, monthlyFen: 5, totalFen: 5 }
    const rows: [Budgets, string][] = [
      [{ ...all, ratePerSecond: 1, expiresAtMs: NOON }, "key_expired"],
      [{ ...all, ratePerSecond: 1 }, "rate_limited"],
      [all, "daily"],
      [{ ...all, dailyFen: 6 }, "monthly"],
      [{ ...all, dailyFen: 6, monthlyFen: 6 }, "total"],
      [{ dailyFen: 6, monthlyFen: 6, totalFen: 6 }, "accepted"],
    ]
    for (const [budgets, told] of rows) {
      const { charge } = await limited(budgets, { ...counter, tokens: 999, tokensAtMs: NOON })
      expect([told, await statuses([charge(1)])]).toEqual([told, [told]])
    }
  })

  test("is not asked where a request is repeated", async () => {
    const { accountId, limits } = await limited({ dailyFen: 10 })
    const charge = { accountId, amountFen: 10, limits, idempotency: keyed(newId("key").slice(4)) }
    const sent = await gateway.send([charge, charge, { accountId, limits }])
    expect(sent.bytes).toEqual([0, 23, 12])
    expect((await gateway.send([charge])).bytes).toEqual([7])
  })
})

describe("a new day, and a new month, in Shanghai", () => {
  /** The last millisecond of 31 May, and the first of 1 June. */
  const MIDNIGHT = Date.UTC(2035, 4, 31, 16)

  test("begins with an empty budget, in the millisecond after midnight there", async () => {
    const { keyId, charge } = await limited({ dailyFen: 10 })
    const midnight = Date.UTC(2035, 4, 15, 16)
    await gateway.send([charge(10)])
    await scripts.setClock(midnight - 1)
    expect(await statuses([charge(1)])).toEqual(["daily"])
    await scripts.setClock(midnight)
    expect(await statuses([charge(11), charge(10), charge(1)])).toEqual([
      ...["daily", "accepted", "daily"],
    ])
    expect(await scripts.counter(keyId)).toMatchObject({
      ...{ day: DAY + 1, dayFen: 10, month: MONTH, monthFen: 20, totalFen: 20 },
    })
  })

  test("of the month begins at the same midnight; the total never begins again", async () => {
    const { keyId, charge } = await limited({ monthlyFen: 10, totalFen: 15 })
    await gateway.send([charge(10)])
    await scripts.setClock(MIDNIGHT - 1)
    expect(await statuses([charge(1)])).toEqual(["monthly"])
    await scripts.setClock(MIDNIGHT)
    expect(await statuses([charge(5), charge(1)])).toEqual(["accepted", "total"])
    expect(await scripts.counter(keyId)).toMatchObject({
      ...{ month: MONTH + 1, dayFen: 5, monthFen: 5, totalFen: 15 },
    })
  })

  test("is told from the counter's own, whatever that is", async () => {
    for (const day of [0, DAY - 1, DAY + 1, 4_294_967_295]) {
      const { charge } = await limited({ dailyFen: 1 }, { day, dayFen: 9, totalFen: 9 })
      expect(await statuses([charge(1), charge(1)])).toEqual(["accepted", "daily"])
    }
    for (const month of [0, MONTH - 12, MONTH - 1, MONTH + 1]) {
      const { charge } = await limited({ monthlyFen: 1 }, { month, monthFen: 9, totalFen: 9 })
      expect(await statuses([charge(1), charge(1)])).toEqual(["accepted", "monthly"])
    }
  })
})

describe("what a hold did not take", () => {
  const rows: [string, Partial<ItemOf>, number][] = [
    ["a void gives back all", { verb: "void" }, 0],
    ["a capture of less gives back the rest", { verb: "capture", amountFen: 40 }, 40],
    ["a capture of all gives back nothing", { verb: "capture" }, 60],
  ]
  for (const [what, resolution, spent] of rows) {
    test(`${what}, on the same day`, async () => {
      const { keyId, charge, hold } = await limited({ dailyFen: 100, monthlyFen: 100 })
      const sent = await gateway.send([charge(3), hold(60)])
      await gateway.send([resolve(resolution, holdIdOf(sent, 1))])
      const spentFen = spent + 3
      expect(await scripts.counter(keyId)).toMatchObject({
        ...{ dayFen: spentFen, monthFen: spentFen, totalFen: spentFen },
      })
    })

    test(`${what}: to the month on another day, to the total in another month`, async () => {
      for (const laterMs of [DAY_MS, 31 * DAY_MS]) {
        const { keyId, charge, accountId, limits } = await limited({ totalFen: 1_000 })
        const ttlMs = 40 * DAY_MS
        const hold = { verb: "hold", accountId, amountFen: 60, limits, ttlMs } as const
        const sent = await gateway.send([hold])
        await scripts.setClock(NOON + laterMs)
        await gateway.send([charge(3)])
        await gateway.send([resolve(resolution, holdIdOf(sent))])
        const monthFen = laterMs === DAY_MS ? 3 + spent : 3
        expect(await scripts.counter(keyId)).toMatchObject({
          ...{ dayFen: 3, monthFen, totalFen: 3 + spent },
        })
      }
    })
  }

  test("goes nowhere where the counter is of another version, or has gone", async () => {
    const { keyId, hold } = await limited({ dailyFen: 100 })
    const [first, second] = [await gateway.send([hold(10)]), await gateway.send([hold(10)])]
    await scripts.writeCounter(keyId, { version: 2, dayFen: 50, totalFen: 50 })
    await gateway.send([{ verb: "void", holdId: holdIdOf(first) }])
    expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 50, totalFen: 50 })
    await scripts.redis.del(`{p0}:1:k:${keyId.slice(4)}`)
    await gateway.send([{ verb: "void", holdId: holdIdOf(second) }])
    expect(await scripts.counter(keyId)).toBeNull()
  })

  test("does not make a budget larger than it is, where a counter says less", async () => {
    const { keyId, hold } = await limited({ dailyFen: 100 })
    const sent = await gateway.send([hold(10)])
    await scripts.writeCounter(keyId, { dayFen: 4, monthFen: 3, totalFen: 2 })
    await gateway.send([{ verb: "void", holdId: holdIdOf(sent) }])
    expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 0, monthFen: 0, totalFen: 0 })
  })

  test("does not go to a counter that only the caller names", async () => {
    const [mine, theirs] = [await limited({ totalFen: 100 }), await limited({ totalFen: 100 })]
    const sent = await gateway.send([mine.hold(50), theirs.charge(80)])
    const forged = holdIdOf(sent).replace(mine.keyId.slice(4), theirs.keyId.slice(4))
    expect(forged).not.toBe(holdIdOf(sent))
    await gateway.send([{ verb: "void", holdId: forged }])
    expect(await scripts.counter(theirs.keyId)).toMatchObject({ totalFen: 80 })
  })
})

describe("a counter", () => {
  test("that is missing, or of another version, is asked for first", async () => {
    const { keyId, limits, accountId, charge } = await limited({ dailyFen: 10 })
    const [older, newer] = [0, 2].map((version) => ({ accountId, limits: { ...limits, version } }))
    await scripts.redis.del(`{p0}:1:k:${keyId.slice(4)}`)
    expect(await statuses([charge(1)])).toEqual(["counter_missing"])
    await scripts.writeCounter(keyId)
    if (older === undefined || newer === undefined) throw new Error("there are two versions")
    expect(await statuses([older, newer, charge(1)])).toEqual([
      ...["counter_missing", "counter_missing", "accepted"],
    ])
  })

  test("is not needed by a key that only expires, and none is made", async () => {
    const { keyId, accountId } = await limited({})
    await scripts.redis.del(`{p0}:1:k:${keyId.slice(4)}`)
    const limits = limitsOf(keyId, { expiresAtMs: NOON + 1 })
    const sent = await gateway.send([
      { accountId, limits },
      { verb: "hold", accountId, limits },
    ])
    expect(sent.bytes).toEqual([0, 0])
    await scripts.setClock(NOON + 1)
    expect(await statuses([{ accountId, limits }])).toEqual(["key_expired"])
    expect(await scripts.counter(keyId)).toBeNull()
  })

  test("counts exactly at every size", async () => {
    const amountFen = 90_000_000_000_000
    const totalFen = 4_500_000_000_000_000 - amountFen
    const { keyId, limits } = await limited({ totalFen: 4_500_000_000_000_000 }, { totalFen })
    const accountId = await scripts.put({ balanceFen: 4_503_599_627_370_495 })
    const items = [amountFen + 1, amountFen, 1].map((fen) => ({
      accountId,
      amountFen: fen,
      limits,
    }))
    expect(await statuses(items)).toEqual(["total", "accepted", "total"])
    expect(await scripts.counter(keyId)).toMatchObject({ totalFen: totalFen + amountFen })
  })

  test("of one key is counted on by every item of a batch that names it, and by no other", async () => {
    const { charge, limits } = await limited({ totalFen: 5 })
    const other = await limited({ totalFen: 5 })
    const accountId = await scripts.put({ balanceFen: 100 })
    const items = [charge(3), other.charge(5), { accountId, amountFen: 3, limits }, charge(2)]
    expect(await statuses(items)).toEqual(["accepted", "accepted", "total", "accepted"])
  })
})

function resolve(item: Partial<ItemOf>, holdId: string): ItemOf {
  if (item.verb === "void") return { verb: "void", holdId }
  const amountFen = "amountFen" in item ? item.amountFen : undefined
  return { verb: "capture", holdId, ...(amountFen === undefined ? {} : { amountFen }) }
}
