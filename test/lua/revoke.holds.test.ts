import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { newId, randomChars } from "../../src/ids.ts"
import { BATCH_ITEMS_MAX } from "../../src/limits.ts"
import { holdIdOf, type ItemOf, keyed, limitsOf } from "../support/batches.ts"
import { type Gateway, holdKeyOf, type Scripts, startScripts } from "../support/scripts.ts"
import { expectBooks } from "./books.ts"

/** Holds and captures whose callers were told 503: a hold goes, a captured one is open again. */
let scripts: Scripts
let [gateway, other]: [Gateway | null, Gateway | null] = [null, null]
beforeAll(async () => {
  scripts = await startScripts()
  gateway = await scripts.gateway()
  other = await scripts.gateway()
})
afterEach(() => expectBooks(scripts))
afterAll(() => scripts.stop())

const NOON = Date.UTC(2035, 4, 15, 4)
const DAY_MS = 86_400_000
const DETAILS = "key_test\x1fuser.login\x1f3\x1freq_h\x1f"

function here(): Gateway {
  if (gateway === null) throw new Error("the gateway is there only while tests run")
  return gateway
}

function there(): Gateway {
  if (other === null) throw new Error("the gateway is there only while tests run")
  return other
}

/** An account with 100 fen, and a hold of 60 of them. */
async function heldAccount(options: Partial<ItemOf & { verb: "hold" }> = {}) {
  await scripts.setClock(NOON)
  const [accountId, keyId] = [await scripts.put({ balanceFen: 100 }), newId("key")]
  await scripts.writeCounter(keyId)
  const limits = limitsOf(keyId, { dailyFen: 1_000 })
  const hold = {
    ...({ verb: "hold", accountId, amountFen: 60, limits, details: DETAILS } as const),
    ...options,
  }
  const sent = await here().send([hold])
  const holdId = holdIdOf(sent)
  return { accountId, keyId, hold, sent, holdId, expiresAtMs: NOON + (options.ttlMs ?? 60_000) }
}

describe("a hold", () => {
  test("that nobody knows of goes, with its place in the list and what it counted", async () => {
    for (const isInternal of [false, true]) {
      const { accountId, keyId, sent, holdId } = await heldAccount({ isInternal })
      for (let i = 0; i < 3; i++) expect(await sent.revoke()).toBe("revoked")
      expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 0, seq: 0 })
      expect(await scripts.redis.exists(holdKeyOf(holdId))).toBe(0)
      expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 0, monthFen: 0, totalFen: 0 })
    }
  })

  test("of a forwarded call frees its request: a retry runs anew", async () => {
    const digest = randomChars(16)
    const idempotency = keyed(digest, { isOnce: true })
    const { accountId, hold, sent } = await heldAccount({ isInternal: true, idempotency })
    expect((await there().send([hold])).bytes).toEqual([9])
    await sent.revoke()
    expect(await scripts.result(digest)).toBeNull()
    expect((await there().send([hold])).bytes).toEqual([0])
    expect(await scripts.state(accountId)).toMatchObject({ heldFen: 60 })
  })

  test("whose time was over first is not voided twice, and its request is free all the same", async () => {
    const digest = randomChars(16)
    const { accountId, keyId, hold, sent, holdId, expiresAtMs } = await heldAccount({
      idempotency: keyed(digest),
    })
    await scripts.setClock(expiresAtMs)
    await there().send([{ verb: "void", holdId, isExpiry: true }])
    await sent.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 0 })
    expect(await scripts.counter(keyId)).toMatchObject({ totalFen: 0 })
    expect(await scripts.result(digest)).toBeNull()
    expect((await there().send([hold])).outcomes).toMatchObject([{ isReplay: false }])
  })

  test("whose time was over leaves the request that was made anew since", async () => {
    for (const isOnce of [false, true]) {
      const digest = randomChars(16)
      const { hold, sent, holdId, expiresAtMs } = await heldAccount({
        ...{ idempotency: keyed(digest, { isOnce }), isInternal: isOnce },
      })
      await scripts.setClock(expiresAtMs)
      await there().send([{ verb: "void", holdId, isExpiry: true }])
      await scripts.redis.del(`{p0}:1:r:${digest}`)
      const anew = holdIdOf(await there().send([hold]))
      await sent.revoke()
      expect(await scripts.hold(anew)).toMatchObject({ state: "open" })
      expect((await there().send([hold])).bytes).toEqual([isOnce ? 9 : 7])
    }
  })

  test("that another was told of, who captured it, stays captured", async () => {
    const { accountId, hold, sent } = await heldAccount({ idempotency: keyed(randomChars(16)) })
    const told = await there().send([hold])
    await there().send([{ verb: "capture", holdId: holdIdOf(told), amountFen: 25 }])
    await sent.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 75, heldFen: 0, seq: 1 })
    expect((await there().send([hold])).bytes).toEqual([7])
  })
})

describe("a capture", () => {
  test("gives its money back, and the hold is open again with what was captured", async () => {
    const { accountId, holdId, expiresAtMs } = await heldAccount()
    const sent = await here().send([{ verb: "capture", holdId, amountFen: 40 }])
    expect(await scripts.redis.pttl(holdKeyOf(holdId))).toBeGreaterThan(0)
    for (let i = 0; i < 3; i++) expect(await sent.revoke()).toBe("revoked")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 40, seq: 2 })
    expect(await scripts.hold(holdId)).toMatchObject({
      ...{ state: "open", amountFen: 40, expiresAtMs, details: DETAILS },
    })
    expect(await scripts.redis.pttl(holdKeyOf(holdId))).toBe(-1)
    expect((await scripts.entries()).at(-1)?.records).toMatchObject([
      {
        ...{ kind: "reversal", seq: 2, amountFen: 40, balanceAfterFen: 100, revokedAtMs: NOON },
        ...{ interface: "user.login", quantity: 3, requestId: "req_h" },
        sourceId: expect.stringMatching(new RegExp(`^chg_${accountId.slice(5)}_203505_1$`)),
      },
    ])
  })

  test("never makes what is available negative, although all the rest was spent since", async () => {
    const { accountId, holdId } = await heldAccount()
    const sent = await here().send([{ verb: "capture", holdId, amountFen: 40 }])
    const spent = await there().send([
      { accountId, amountFen: 60 },
      { accountId, amountFen: 1 },
    ])
    expect(spent.bytes).toEqual([0, 5])
    await sent.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 40, heldFen: 40 })
    expect((await there().send([{ accountId }])).bytes).toEqual([5])
  })

  test("can be repeated by its caller, for as much and no more", async () => {
    const { accountId, keyId, holdId } = await heldAccount()
    const sent = await here().send([{ verb: "capture", holdId, amountFen: 40 }])
    await sent.revoke()
    const again = await there().send([
      { verb: "capture", holdId, amountFen: 41 },
      { verb: "capture", holdId, amountFen: 40 },
      { verb: "capture", holdId },
    ])
    expect(again.bytes).toEqual([20, 0, 18])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 60, heldFen: 0, seq: 3 })
    expect(await scripts.counter(keyId)).toMatchObject({ totalFen: 40 })
  })

  test("leaves a hold that can be voided: all of its budget comes back", async () => {
    const { accountId, keyId, holdId } = await heldAccount()
    const sent = await here().send([{ verb: "capture", holdId, amountFen: 40 }])
    expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 40, totalFen: 40 })
    await sent.revoke()
    expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 40, totalFen: 40 })
    expect((await there().send([{ verb: "void", holdId }])).bytes).toEqual([0])
    expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 0, totalFen: 0 })
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 0 })
  })

  test("leaves a hold that expires: at once where its time was over meanwhile", async () => {
    const { accountId, holdId, expiresAtMs } = await heldAccount()
    const sent = await here().send([{ verb: "capture", holdId }])
    await scripts.setClock(expiresAtMs + 5)
    await sent.revoke()
    const { outcomes } = await there().send([
      { verb: "capture", holdId },
      { verb: "void", holdId, isExpiry: true },
    ])
    expect(outcomes).toMatchObject([{ status: "hold_expired" }, { status: "voided" }])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 0 })
  })

  test("whose hold is not kept any more gives its money, and its budget, back to the account", async () => {
    const { accountId, keyId, holdId } = await heldAccount()
    const sent = await here().send([{ verb: "capture", holdId, amountFen: 40 }])
    await scripts.redis.del(holdKeyOf(holdId))
    await sent.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 0, seq: 2 })
    expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 0, monthFen: 0, totalFen: 0 })
  })

  test("that lost against a void changes nothing, and neither does the void's own revoke", async () => {
    const { accountId, holdId } = await heldAccount()
    const sent = await here().send([
      { verb: "void", holdId },
      { verb: "capture", holdId },
    ])
    expect(sent.bytes).toEqual([0, 18])
    expect(await sent.revoke()).toBe("revoked")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 0, seq: 0 })
    expect(await scripts.hold(holdId)).toMatchObject({ state: "voided" })
  })
})

describe("the capture of an internal hold", () => {
  for (const [when, laterMs, left] of [
    ["on its day", 0, { dayFen: 7, monthFen: 7, totalFen: 7 }],
    ["on the next day", DAY_MS, { dayFen: 7, monthFen: 7, totalFen: 7 }],
    ["in the next month", 31 * DAY_MS, { dayFen: 7, monthFen: 7, totalFen: 7 }],
  ] as const) {
    test(`gives back money and budget ${when}, and leaves no hold`, async () => {
      const { accountId, keyId, hold, holdId } = await heldAccount({
        ...{ isInternal: true, ttlMs: 40 * DAY_MS },
      })
      await scripts.setClock(NOON + laterMs)
      const sent = await here().send([{ verb: "capture", holdId, amountFen: 40 }])
      const { limits } = hold
      if (limits === undefined) throw new Error("the hold has limits")
      await there().send([{ accountId, amountFen: 7, limits }])
      await sent.revoke()
      expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 93, heldFen: 0 })
      expect(await scripts.redis.exists(holdKeyOf(holdId))).toBe(0)
      expect(await scripts.counter(keyId)).toMatchObject(left)
    })
  }

  test("gives no budget back to a counter of another version, or that only the caller names", async () => {
    const [mine, theirs] = [
      await heldAccount({ isInternal: true }),
      await heldAccount({ isInternal: true }),
    ]
    // Its version is that which stands where a hold has counted nowhere.
    await scripts.writeCounter(theirs.keyId, { version: 0 })
    const forged = mine.holdId.replace(mine.keyId.slice(4), theirs.keyId.slice(4))
    const first = await here().send([{ verb: "capture", holdId: forged, amountFen: 40 }])
    await first.revoke()
    expect(await scripts.counter(theirs.keyId)).toMatchObject({ totalFen: 60 })
    await scripts.writeCounter(theirs.keyId, { version: 1 })
    const second = await here().send([{ verb: "capture", holdId: theirs.holdId, amountFen: 40 }])
    await scripts.writeCounter(theirs.keyId, { version: 2 })
    await second.revoke()
    expect(await scripts.counter(theirs.keyId)).toMatchObject({ version: 2, totalFen: 40 })
  })

  test("frees its request: a repeat is told that it is paid until then, and runs anew after", async () => {
    const digest = randomChars(16)
    const idempotency = keyed(digest, { isOnce: true })
    const { accountId, hold, holdId } = await heldAccount({ isInternal: true, idempotency })
    const sent = await here().send([{ verb: "capture", holdId, amountFen: 40 }])
    expect((await there().send([hold])).bytes).toEqual([10])
    await sent.revoke()
    expect(await scripts.result(digest)).toBeNull()
    expect((await there().send([hold])).bytes).toEqual([0])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 60 })
  })

  test("leaves the request that was made anew since its result was kept its time", async () => {
    const digest = randomChars(16)
    const idempotency = keyed(digest, { isOnce: true })
    const { accountId, hold, holdId } = await heldAccount({ isInternal: true, idempotency })
    const sent = await here().send([{ verb: "capture", holdId, amountFen: 40 }])
    await scripts.redis.del(`{p0}:1:r:${digest}`)
    const anew = await there().send([hold])
    expect(anew.bytes).toEqual([0])
    await sent.revoke()
    expect((await there().send([hold])).bytes).toEqual([9])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 60 })
  })
})

test("a full batch of all that an item can name is decided, and goes back, to the last key", async () => {
  await scripts.setClock(NOON)
  const holds = await Promise.all(
    Array.from({ length: BATCH_ITEMS_MAX }, async () => {
      const [accountId, keyId] = [await scripts.put({ balanceFen: 100 }), newId("key")]
      await scripts.writeCounter(keyId)
      const limits = limitsOf(keyId, { dailyFen: 60 })
      const idempotency = keyed(randomChars(16), { isOnce: true })
      return { ...({ verb: "hold", accountId, amountFen: 60 } as const), limits, idempotency }
    }),
  )
  const held = await here().send(holds)
  const digests = holds.map(() => randomChars(16))
  const captured = await here().send(
    holds.map((_, place) => ({
      ...({ verb: "capture", holdId: holdIdOf(held, place), amountFen: 40 } as const),
      idempotency: keyed(digests[place] ?? ""),
    })),
  )
  expect(new Set([...held.bytes, ...captured.bytes])).toEqual(new Set([0]))
  expect(await captured.revoke()).toBe("revoked")
  for (const [place, { accountId, limits, idempotency }] of holds.entries()) {
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 40, seq: 2 })
    expect(await scripts.counter(limits.keyId)).toMatchObject({ dayFen: 40, totalFen: 40 })
    expect(await scripts.result(idempotency.digest)).toBeNull()
    expect(await scripts.result(digests[place] ?? "")).toBeNull()
  }
})

test("captures are given back exactly at the bounds", async () => {
  const [balanceFen, amountFen] = [4_503_599_627_370_495, 90_000_000_000_000]
  const accountId = await scripts.put({ balanceFen })
  const holdId = holdIdOf(await here().send([{ verb: "hold", accountId, amountFen }]))
  const sent = await here().send([{ verb: "capture", holdId }])
  await sent.revoke()
  expect(await scripts.state(accountId)).toMatchObject({ balanceFen, heldFen: amountFen })
  expect(await scripts.hold(holdId)).toMatchObject({ state: "open", amountFen })
})
