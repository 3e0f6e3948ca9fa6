import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { newId, randomChars } from "../../src/ids.ts"
import { holdIdOf, keyed, limitsOf } from "../support/batches.ts"
import { type Gateway, type Scripts, startScripts } from "../support/scripts.ts"
import { expectBooks } from "./books.ts"

/** Where Postgres is too far behind, what would take more is refused, and what gives back is not. */
let scripts: Scripts
let gateway: Gateway
beforeAll(async () => {
  scripts = await startScripts()
  gateway = await scripts.gateway()
})
afterEach(() => expectBooks(scripts))
afterAll(() => scripts.stop())

const BOUND = 10

/** Leaves so many records written and not flushed. */
async function unflushed(records: number): Promise<void> {
  const { written } = await scripts.meta()
  await scripts.writeMeta({ written: written + 1_000, flushed: written + 1_000 - records })
}

const send = (items: Parameters<Gateway["send"]>[0]) => gateway.send(items, { unflushedMax: BOUND })

async function withHolds() {
  await unflushed(0)
  const accountId = await scripts.put({ balanceFen: 100 })
  const sent = await send([
    { verb: "hold", accountId, amountFen: 10 },
    { verb: "hold", accountId, amountFen: 10 },
    { verb: "hold", accountId, amountFen: 10, ttlMs: 0 },
  ])
  return { accountId, holds: [0, 1, 2].map((place) => holdIdOf(sent, place)) }
}

describe("at the bound", () => {
  test("charges and holds are refused one by one, and change nothing", async () => {
    const keyId = newId("key")
    await scripts.writeCounter(keyId)
    await unflushed(BOUND)
    const accountId = await scripts.put({ balanceFen: 100 })
    const [state, counter] = [await scripts.stateBytes(accountId), await scripts.counter(keyId)]
    const digest = randomChars(16)
    const items = [
      { accountId },
      { accountId, authVersion: null },
      { accountId, idempotency: keyed(digest) },
      { accountId, limits: limitsOf(keyId, { dailyFen: 5 }) },
      { verb: "hold", accountId } as const,
    ]
    const sent = await send(items)
    expect(sent.status).toBe("done")
    expect(sent.bytes).toEqual([22, 22, 22, 22, 22])
    expect(sent.outcomes).toEqual(items.map(() => ({ status: "unavailable" })))
    expect(await scripts.stateBytes(accountId)).toEqual(state)
    expect(await scripts.counter(keyId)).toEqual(counter)
    expect(await scripts.result(digest)).toBeNull()
  })

  test("one record below it, all pass; the batch that reaches it is decided to its end", async () => {
    await unflushed(BOUND - 1)
    const accountId = await scripts.put({ balanceFen: 100 })
    const items = Array.from({ length: BOUND }, () => ({ accountId }))
    expect(new Set((await send(items)).bytes)).toEqual(new Set([0]))
    expect((await send([{ accountId }])).bytes).toEqual([22])
  })

  test("captures, voids and expiries pass, and requests that were answered are answered", async () => {
    const { accountId, holds } = await withHolds()
    const idempotency = keyed(randomChars(16))
    await send([{ accountId, idempotency }])
    await unflushed(2 * BOUND - 1)
    const [first = "", second = "", third = ""] = holds
    const sent = await send([
      { verb: "capture", holdId: first, amountFen: 4 },
      { verb: "void", holdId: second },
      { verb: "void", holdId: third, isExpiry: true },
      { accountId, idempotency },
      { accountId },
    ])
    expect(sent.bytes).toEqual([0, 0, 0, 7, 22])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 95, heldFen: 0 })
  })

  test("who is refused for another reason than the bound is told that reason first", async () => {
    await unflushed(BOUND)
    const frozen = await scripts.put({ balanceFen: 9, status: "frozen" })
    const changed = await scripts.put({ balanceFen: 9, authVersion: 2 })
    const sent = await send([
      { accountId: frozen },
      { accountId: changed },
      { accountId: changed, authVersion: null, servicesVersion: 99 },
      { accountId: frozen, authVersion: null },
    ])
    expect(sent.bytes).toEqual([2, 4, 6, 2])
  })
})

test("a key's limits are not asked then: nothing of them is told, and nothing is counted", async () => {
  const [accountId, keyId] = [await scripts.put({ balanceFen: 100 }), newId("key")]
  await scripts.writeCounter(keyId)
  await unflushed(BOUND)
  const limits = limitsOf(keyId, { dailyFen: 5 })
  const expired = limitsOf(keyId, { expiresAtMs: 1 })
  const counter = await scripts.counter(keyId)
  const sent = await send([
    { accountId, amountFen: 6, limits },
    { accountId, limits: expired },
  ])
  expect(sent.bytes).toEqual([22, 22])
  expect(await scripts.counter(keyId)).toEqual(counter)
})

describe("at twice the bound", () => {
  test("the whole batch is refused, captures too, and its number is still free", async () => {
    const { accountId, holds } = await withHolds()
    await unflushed(2 * BOUND)
    const [holdId = ""] = holds
    const sent = await send([{ verb: "capture", holdId }, { accountId }])
    expect(sent.status).toBe("saturated")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 30 })
    await unflushed(0)
    const again = await sent.again()
    expect(again.bytes).toEqual([0, 0])
  })
})
