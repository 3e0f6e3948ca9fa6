import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { randomChars } from "../../src/ids.ts"
import { holdIdOf, keyed, limitsOf, type Outcome } from "../support/batches.ts"
import { type Gateway, resultKeyOf, type Scripts, startScripts } from "../support/scripts.ts"
import { expectBooks } from "./books.ts"

/** A request with an Idempotency-Key moves money once, and every repeat gets the first answer. */
let scripts: Scripts
let gateway: Gateway
beforeAll(async () => {
  scripts = await startScripts()
  gateway = await scripts.gateway()
})
afterEach(() => expectBooks(scripts))
afterAll(() => scripts.stop())

async function fresh(balanceFen = 100) {
  const [accountId, digest] = [await scripts.put({ balanceFen }), randomChars(16)]
  return { accountId, digest, idempotency: keyed(digest) }
}

function replayOf(outcome: Outcome | undefined): Outcome {
  if (outcome === undefined || !("isReplay" in outcome)) throw new Error("nothing was done")
  return { ...outcome, isReplay: true }
}

describe("a keyed charge", () => {
  test("is replayed with the identical numbers, whatever became of the account since", async () => {
    const { accountId, idempotency } = await fresh()
    const charge = { accountId, amountFen: 30, idempotency }
    const first = await gateway.send([charge])
    expect(first.outcomes).toMatchObject([
      { status: "accepted", isReplay: false, amountFen: 30, balanceFen: 70, heldFen: 0, seq: 1 },
    ])
    await gateway.send([
      { accountId, amountFen: 5 },
      { verb: "hold", accountId, amountFen: 65 },
    ])
    await scripts.setClock((await scripts.meta()).clockMs + 3_600_000)
    const before = await scripts.stateBytes(accountId)
    for (let i = 0; i < 3; i++) {
      expect((await gateway.send([charge])).outcomes).toEqual([replayOf(first.outcomes[0])])
    }
    expect(await scripts.stateBytes(accountId)).toEqual(before)
  })

  test("stands in one result, which counts how often it was repeated and keeps its end", async () => {
    const { accountId, digest, idempotency } = await fresh()
    const charge = { accountId, amountFen: 30, idempotency }
    await gateway.send([charge], { keptMs: 60_000 })
    const made = await scripts.result(digest)
    expect(made).toMatchObject({
      ...{ state: "charged", isOrphaned: false, told: 0, fingerprint: "prints", tail: "" },
      ...{ balanceFen: 70, heldFen: 0, number: 1, amountFen: 30 },
    })
    for (let told = 1; told <= 3; told++) {
      await gateway.send([charge], { keptMs: 86_400_000 })
      expect(await scripts.result(digest)).toMatchObject({ ...made, told })
    }
    const leftMs = await scripts.redis.pttl(resultKeyOf(digest))
    expect(leftMs).toBeGreaterThan(0)
    expect(leftMs).toBeLessThanOrEqual(60_000)
  })

  test("has its result for as long as its gateway says", async () => {
    const { accountId, digest, idempotency } = await fresh()
    await gateway.send([{ accountId, idempotency }], { keptMs: 86_400_000 })
    const leftMs = await scripts.redis.pttl(resultKeyOf(digest))
    expect(leftMs).toBeGreaterThan(86_000_000)
    expect(leftMs).toBeLessThanOrEqual(86_400_000)
  })

  test("alone is kept: a charge without a key leaves nothing behind", async () => {
    const { accountId, idempotency } = await fresh()
    await gateway.send([{ accountId }])
    const keys = await scripts.redis.dbsize()
    await gateway.send([{ accountId }, { accountId }])
    expect(await scripts.redis.dbsize()).toBe(keys)
    await gateway.send([{ accountId }, { accountId, idempotency }])
    expect(await scripts.redis.dbsize()).toBe(keys + 1)
  })

  test("is made anew once its result has gone", async () => {
    const { accountId, digest, idempotency } = await fresh()
    const charge = { accountId, idempotency }
    await gateway.send([charge])
    await scripts.redis.del(resultKeyOf(digest))
    expect((await gateway.send([charge])).outcomes).toMatchObject([{ isReplay: false, seq: 2 }])
  })

  test("with another fingerprint is refused, and the first result stays", async () => {
    const { accountId, digest, idempotency } = await fresh()
    const first = await gateway.send([{ accountId, idempotency }])
    const other = keyed(digest, { fingerprint: "other!" })
    const { outcomes } = await gateway.send([
      { accountId, idempotency: other },
      { verb: "hold", accountId, idempotency: other },
      { accountId, idempotency: keyed(digest, { fingerprint: "other!", isOnce: true }) },
    ])
    const reused = { status: "idempotency_key_reused", rate: null }
    expect<object[]>(outcomes).toEqual([reused, reused, reused])
    expect(await scripts.result(digest)).toMatchObject({ told: 0, fingerprint: "prints" })
    const again = await gateway.send([{ accountId, idempotency }])
    expect(again.outcomes).toEqual([replayOf(first.outcomes[0])])
  })

  test("that was refused has not burnt its key: every refusal leaves nothing", async () => {
    const keyId = `key_${randomChars(16)}`
    const rows: [string, Parameters<Scripts["put"]>[0], object][] = [
      ["account_frozen", { status: "frozen" }, {}],
      ["account_closed", { status: "closed" }, {}],
      ["auth_changed", { authVersion: 2 }, {}],
      ["insufficient_balance", { balanceFen: 29 }, {}],
      ["service_changed", {}, { servicesVersion: 9 }],
      ["counter_missing", {}, { limits: limitsOf(keyId, { dailyFen: 50 }) }],
      ["key_expired", {}, { limits: limitsOf(keyId, { expiresAtMs: 1 }) }],
    ]
    for (const [status, state, item] of rows) {
      const accountId = await scripts.put({ balanceFen: 100, ...state })
      const digest = randomChars(16)
      const charge = { accountId, amountFen: 30, idempotency: keyed(digest), ...item }
      const { outcomes } = await gateway.send([charge, { ...charge, verb: "hold" }])
      expect<object[]>(outcomes).toMatchObject([{ status }, { status }])
      expect([status, await scripts.result(digest)]).toEqual([status, null])
    }
  })

  test("succeeds on retry after a refusal, and is answered as itself", async () => {
    const { accountId, idempotency } = await fresh(10)
    const charge = { accountId, amountFen: 8, idempotency }
    const holdId = holdIdOf(await gateway.send([{ verb: "hold", accountId, amountFen: 5 }]))
    expect((await gateway.send([charge])).outcomes).toMatchObject([
      { status: "insufficient_balance" },
    ])
    await gateway.send([{ verb: "void", holdId }])
    expect((await gateway.send([charge])).outcomes).toMatchObject([
      { status: "accepted", isReplay: false },
    ])
  })

  test("twice in one batch is taken once: the second is answered as a replay of the first", async () => {
    const { accountId, digest, idempotency } = await fresh()
    const charge = { accountId, amountFen: 30, idempotency }
    const sent = await gateway.send([charge, charge, charge])
    const [first, ...others] = sent.outcomes
    expect(first).toMatchObject({ isReplay: false, seq: 1, balanceFen: 70 })
    expect(others).toEqual([replayOf(first), replayOf(first)])
    // Outcome 23: nobody but the callers of this batch has been told, so that nobody is counted.
    expect(sent.bytes).toEqual([0, 23, 23])
    expect(await scripts.result(digest)).toMatchObject({ told: 0 })
  })

  test("twice in a batch after it was made is counted twice", async () => {
    const { accountId, digest, idempotency } = await fresh()
    await gateway.send([{ accountId, idempotency }])
    const sent = await gateway.send([
      { accountId, idempotency },
      { accountId, idempotency },
    ])
    expect(sent.bytes).toEqual([7, 7])
    expect(await scripts.result(digest)).toMatchObject({ told: 2 })
  })

  test("repeated more often than the result can count is replayed for ever", async () => {
    const { accountId, digest, idempotency } = await fresh()
    await gateway.send([{ accountId, idempotency }])
    for (let i = 0; i < 3; i++) {
      const items = Array.from({ length: 100 }, () => ({ accountId, idempotency }))
      const { outcomes } = await gateway.send(items)
      expect(new Set(outcomes.map((outcome) => JSON.stringify(outcome))).size).toBe(1)
      expect(outcomes[0]).toMatchObject({ isReplay: true, seq: 1 })
    }
    expect(await scripts.result(digest)).toMatchObject({ told: 255 })
  })

  test("is answered although the account has no money left, and not where the account is barred", async () => {
    const { accountId, idempotency } = await fresh(30)
    const charge = { accountId, amountFen: 30, idempotency }
    await gateway.send([charge])
    expect((await gateway.send([charge])).outcomes).toMatchObject([{ isReplay: true }])
    expect((await gateway.send([{ ...charge, authVersion: 2 }])).outcomes).toMatchObject([
      { status: "auth_changed" },
    ])
  })

  test("of one account says nothing about another's with another digest", async () => {
    const [left, right] = [await fresh(), await fresh()]
    const { outcomes } = await gateway.send([
      { accountId: left.accountId, idempotency: left.idempotency },
      { accountId: right.accountId, idempotency: right.idempotency },
    ])
    expect(outcomes).toMatchObject([{ isReplay: false }, { isReplay: false }])
  })
})

describe("a keyed hold", () => {
  test("is replayed with its id and its numbers, also once it is resolved", async () => {
    const { accountId, digest, idempotency } = await fresh()
    const hold = { verb: "hold", accountId, amountFen: 30, idempotency } as const
    const first = await gateway.send([hold])
    const holdId = holdIdOf(first)
    const result = { state: "held", number: 0, amountFen: 30, tail: holdId.slice(5, 37) }
    expect(await scripts.result(digest)).toMatchObject(result)
    expect((await gateway.send([hold])).outcomes).toEqual([replayOf(first.outcomes[0])])
    await gateway.send([{ verb: "capture", holdId, amountFen: 5 }])
    expect((await gateway.send([hold])).outcomes).toEqual([replayOf(first.outcomes[0])])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 95, heldFen: 0 })
  })

  test("twice in one batch reserves once", async () => {
    const { accountId, idempotency } = await fresh()
    const hold = { verb: "hold", accountId, amountFen: 30, idempotency } as const
    const { outcomes } = await gateway.send([hold, hold])
    expect(outcomes.slice(1)).toEqual([replayOf(outcomes[0])])
    expect(await scripts.state(accountId)).toMatchObject({ heldFen: 30 })
  })
})

describe("a keyed capture, and a keyed void", () => {
  test("is replayed with the identical numbers, where an unkeyed repeat is refused", async () => {
    for (const verb of ["capture", "void"] as const) {
      const { accountId, digest, idempotency } = await fresh()
      const holdId = holdIdOf(
        await gateway.send([{ verb: "hold", accountId, amountFen: 30, details: DETAILS }]),
      )
      const first = await gateway.send([{ verb, holdId, idempotency }])
      await gateway.send([{ accountId, amountFen: 7 }])
      const { outcomes } = await gateway.send([
        { verb, holdId, idempotency },
        { verb, holdId },
      ])
      expect<object[]>(outcomes).toEqual([
        replayOf(first.outcomes[0]),
        { status: "hold_already_resolved" },
      ])
      const state = verb === "capture" ? "charged" : "voided"
      expect(await scripts.result(digest)).toMatchObject({ state, told: 1 })
    }
  })

  test("that was refused has not burnt its key", async () => {
    const { accountId, digest, idempotency } = await fresh()
    const holdId = holdIdOf(await gateway.send([{ verb: "hold", accountId, amountFen: 30 }]))
    const { outcomes } = await gateway.send([
      { verb: "capture", holdId, amountFen: 31, idempotency },
      { verb: "void", holdId, isExpiry: true, idempotency },
    ])
    expect(outcomes).toMatchObject([{ status: "capture_exceeds_hold" }, { status: "unavailable" }])
    expect(await scripts.result(digest)).toBeNull()
  })

  test("with another fingerprint is refused, and the hold stays open", async () => {
    const { accountId, digest, idempotency } = await fresh()
    await gateway.send([{ accountId, idempotency }])
    const holdId = holdIdOf(await gateway.send([{ verb: "hold", accountId, amountFen: 30 }]))
    const other = keyed(digest, { fingerprint: "other!" })
    const { outcomes } = await gateway.send([
      { verb: "capture", holdId, idempotency: other },
      { verb: "void", holdId, idempotency: other },
    ])
    const reused = { status: "idempotency_key_reused" }
    expect<object[]>(outcomes).toEqual([reused, reused])
    expect(await scripts.hold(holdId)).toMatchObject({ state: "open" })
  })
})

const DETAILS = "key_test\x1fuser.login\x1f2\x1freq_9\x1f钱"
