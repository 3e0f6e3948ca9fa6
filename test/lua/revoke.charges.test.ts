import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { newId, randomChars } from "../../src/ids.ts"
import { keyed, limitsOf } from "../support/batches.ts"
import { type Gateway, type Scripts, startScripts } from "../support/scripts.ts"
import { expectBooks } from "./books.ts"

/** Charges whose callers were told 503: each goes back once, with all that it left behind. */
let scripts: Scripts
let gateway: Gateway
beforeAll(async () => {
  scripts = await startScripts()
  gateway = await scripts.gateway()
})
afterEach(() => expectBooks(scripts))
afterAll(() => scripts.stop())

const NOON = Date.UTC(2035, 4, 15, 4)
const DAY_MS = 86_400_000

test("a plain charge is reversed once, however often the revoke comes", async () => {
  const accountId = await scripts.put({ balanceFen: 100 })
  const sent = await gateway.send([{ accountId, amountFen: 30 }])
  for (let i = 0; i < 3; i++) expect(await sent.revoke()).toBe("revoked")
  expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, seq: 2 })
  expect((await sent.again()).status).toBe("barred")
})

test("what was refused is not given back: only what was taken is", async () => {
  const accountId = await scripts.put({ balanceFen: 10 })
  const frozen = await scripts.put({ balanceFen: 10, status: "frozen" })
  const sent = await gateway.send([
    { accountId, amountFen: 8 },
    { accountId, amountFen: 3 },
    { accountId: frozen, amountFen: 1 },
    { accountId, amountFen: 3, authVersion: null },
    { accountId, amountFen: 2, authVersion: null },
  ])
  expect(sent.bytes).toEqual([0, 5, 2, 5, 0])
  await sent.revoke()
  expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 10, seq: 4 })
  expect(await scripts.state(frozen)).toMatchObject({ balanceFen: 10, seq: 0 })
})

test("items of every kind in one batch are read one after the other, and undone alone", async () => {
  const [accountId, keyId] = [await scripts.put({ balanceFen: 1_000 }), newId("key")]
  await scripts.writeCounter(keyId)
  const { services: servicesVersion } = await scripts.meta()
  const limits = limitsOf(keyId, { dailyFen: 500, ratePerSecond: 100 })
  const all = { servicesVersion, limits }
  const digests = [randomChars(16), randomChars(16)]
  const sent = await gateway.send([
    { accountId, amountFen: 1, details: "key_test\x1fa\x1f1\x1freq\x1f付费" },
    { accountId, amountFen: 2, ...all, idempotency: keyed(digests[0] ?? "") },
    { accountId, amountFen: 4, limits },
    { verb: "hold", accountId, amountFen: 8, ...all, idempotency: keyed(digests[1] ?? "") },
    { accountId, amountFen: 16, servicesVersion: 99 },
    { accountId, amountFen: 32, servicesVersion },
    { accountId, amountFen: 64 },
  ])
  expect(sent.bytes).toEqual([0, 0, 0, 0, 6, 0, 0])
  expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 897, heldFen: 8, seq: 5 })
  expect(await sent.revoke()).toBe("revoked")
  expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 1_000, heldFen: 0, seq: 10 })
  expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 0, monthFen: 0, totalFen: 0 })
  for (const digest of digests) expect(await scripts.result(digest)).toBeNull()
})

describe("a keyed charge that nobody else was told of", () => {
  test("goes back with its result, so that a retry runs anew and is charged once", async () => {
    const [accountId, digest] = [await scripts.put({ balanceFen: 100 }), randomChars(16)]
    const charge = { accountId, amountFen: 30, idempotency: keyed(digest) }
    const sent = await gateway.send([charge])
    expect(await sent.revoke()).toBe("revoked")
    expect(await scripts.result(digest)).toBeNull()
    const retry = await gateway.send([charge])
    expect(retry.outcomes).toMatchObject([{ isReplay: false, balanceFen: 70, seq: 3 }])
    expect(await sent.revoke()).toBe("ahead")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 70, seq: 3 })
  })

  test("goes back too where another request was refused for it: nobody was told of the charge", async () => {
    const [accountId, digest] = [await scripts.put({ balanceFen: 100 }), randomChars(16)]
    const other = await scripts.gateway()
    const sent = await gateway.send([{ accountId, amountFen: 30, idempotency: keyed(digest) }])
    const asked = await other.send([
      { accountId, amountFen: 31, idempotency: keyed(digest, { fingerprint: "other!" }) },
    ])
    expect(asked.bytes).toEqual([8])
    await sent.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100 })
    expect(await scripts.result(digest)).toBeNull()
  })

  test("goes back after its result was kept its time, and leaves a newer result of that key", async () => {
    const [accountId, digest] = [await scripts.put({ balanceFen: 100 }), randomChars(16)]
    const charge = { accountId, amountFen: 30, idempotency: keyed(digest) }
    const other = await scripts.gateway()
    const sent = await gateway.send([charge])
    await scripts.redis.del(`{p0}:1:r:${digest}`)
    expect((await other.send([charge])).outcomes).toMatchObject([{ isReplay: false, seq: 2 }])
    await sent.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 70, seq: 3 })
    expect((await other.send([charge])).outcomes).toMatchObject([{ isReplay: true, seq: 2 }])
  })
})

describe("budgets of the key", () => {
  async function charged(laterMs: number) {
    await scripts.setClock(NOON)
    const [accountId, keyId] = [await scripts.put({ balanceFen: 1_000 }), newId("key")]
    await scripts.writeCounter(keyId)
    const limits = limitsOf(keyId, { dailyFen: 100, monthlyFen: 500, ratePerSecond: 10 })
    const other = await scripts.gateway()
    const sent = await gateway.send([
      { accountId, amountFen: 30, limits },
      { accountId, amountFen: 200, limits },
      { verb: "hold", accountId, amountFen: 5, limits },
    ])
    expect(sent.bytes).toEqual([0, 12, 0])
    await scripts.setClock(NOON + laterMs)
    if (laterMs > 0) await other.send([{ accountId, amountFen: 7, limits }])
    await sent.revoke()
    return { keyId, counter: await scripts.counter(keyId), limits, accountId, other }
  }

  test("get back what was taken, and the calls of this second, and nothing for what was refused", async () => {
    const { counter, limits, accountId, other } = await charged(0)
    expect(counter).toMatchObject({ dayFen: 0, monthFen: 0, totalFen: 0, tokens: 10_000 })
    const { outcomes } = await other.send([{ accountId, limits }])
    expect(outcomes).toMatchObject([{ rate: { remaining: 9 } }])
  })

  test("get it back in the day and month in which it was counted", async () => {
    const tomorrow = await charged(DAY_MS)
    expect(tomorrow.counter).toMatchObject({ dayFen: 7, monthFen: 7, totalFen: 7 })
    const nextMonth = await charged(31 * DAY_MS)
    expect(nextMonth.counter).toMatchObject({ dayFen: 7, monthFen: 7, totalFen: 7 })
  })

  test("keep what was counted on another day since", async () => {
    await scripts.setClock(NOON)
    const [accountId, keyId] = [await scripts.put({ balanceFen: 1_000 }), newId("key")]
    await scripts.writeCounter(keyId)
    const limits = limitsOf(keyId, { totalFen: 100 })
    const sent = await gateway.send([{ accountId, amountFen: 30, limits }])
    await scripts.writeCounter(keyId, { dayFen: 50, monthFen: 50, totalFen: 50 })
    const { day = 0, month = 0 } = (await scripts.counter(keyId)) ?? {}
    await scripts.writeCounter(keyId, { day: day + 1 })
    await sent.revoke()
    expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 50, monthFen: 20, totalFen: 20 })
    const again = await gateway.send([{ accountId, amountFen: 20, limits }])
    await scripts.writeCounter(keyId, { dayFen: 50, month: month + 1, monthFen: 50, totalFen: 50 })
    await again.revoke()
    expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 30, monthFen: 50, totalFen: 30 })
  })

  test("are left alone where the counter is of another version, and are never below nothing", async () => {
    await scripts.setClock(NOON)
    const [accountId, keyId] = [await scripts.put({ balanceFen: 1_000 }), newId("key")]
    await scripts.writeCounter(keyId)
    const limits = limitsOf(keyId, { totalFen: 100 })
    const first = await gateway.send([{ accountId, amountFen: 30, limits }])
    await scripts.writeCounter(keyId, { version: 2 })
    await first.revoke()
    expect(await scripts.counter(keyId)).toMatchObject({ version: 2, totalFen: 30 })
    await scripts.writeCounter(keyId, { version: 1, dayFen: 0, monthFen: 0, totalFen: 0 })
    const second = await gateway.send([{ accountId, amountFen: 30, limits }])
    await scripts.writeCounter(keyId, { dayFen: 1, monthFen: 2, totalFen: 3 })
    await second.revoke()
    expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 0, monthFen: 0, totalFen: 0 })
  })
})

describe("a batch that never came", () => {
  test("is barred with all its items, for ever", async () => {
    const [accountId, digest] = [await scripts.put({ balanceFen: 100 }), randomChars(16)]
    const late = gateway.prepare([
      { accountId, amountFen: 30, idempotency: keyed(digest) },
      { verb: "hold", accountId, amountFen: 30 },
    ])
    expect(await late.revoke()).toBe("barred")
    expect((await late.again()).status).toBe("barred")
    expect(await late.revoke()).toBe("revoked")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 0, seq: 0 })
    expect(await scripts.result(digest)).toBeNull()
  })
})

test("money goes back exactly at the bounds", async () => {
  const amountFen = 90_000_000_000_000
  const balanceFen = 4_503_599_627_370_495
  const accountId = await scripts.put({ balanceFen, seq: 999_999_999_999_998 })
  const sent = await gateway.send([
    { accountId, amountFen, idempotency: keyed(randomChars(16)) },
    { verb: "hold", accountId, amountFen },
    { accountId, amountFen: amountFen - 1 },
  ])
  expect(await scripts.state(accountId)).toMatchObject({
    ...{ balanceFen: balanceFen - 2 * amountFen + 1, heldFen: amountFen, seq: 1e15 },
  })
  await sent.revoke()
  expect(await scripts.state(accountId)).toMatchObject({ balanceFen, heldFen: 0, seq: 1e15 + 2 })
  const reversals = (await scripts.entries()).at(-1)?.records
  expect(reversals).toMatchObject([
    { seq: 1e15 + 1, amountFen, sourceId: expect.stringMatching(/_999999999999999$/) },
    { seq: 1e15 + 2, amountFen: amountFen - 1, balanceAfterFen: balanceFen },
  ])
})
