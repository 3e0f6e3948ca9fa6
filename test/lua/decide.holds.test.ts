import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import type { AccountId } from "../../src/ids.ts"
import { holdIdOf, type ItemOf } from "../support/batches.ts"
import { type Gateway, holdKeyOf, type Scripts, startScripts } from "../support/scripts.ts"
import { expectBooks } from "./books.ts"

/** Money that is reserved first. A hold resolves once, and what it took and left adds up. */
let scripts: Scripts
let gateway: Gateway
beforeAll(async () => {
  scripts = await startScripts()
  gateway = await scripts.gateway()
})
afterEach(() => expectBooks(scripts))
afterAll(() => scripts.stop())

const DETAILS = "key_test\x1fuser.login\x1f1\x1freq_h\x1fof the hold"

/** An account with one hold, and the time at which that was made. */
async function heldAccount(options: Partial<ItemOf & { verb: "hold" }> = {}) {
  const accountId = await scripts.put({ balanceFen: 100 })
  const item = { verb: "hold", accountId, amountFen: 60, details: DETAILS, ...options } as const
  const sent = await gateway.send([item])
  const holdId = holdIdOf(sent)
  const expiresAtMs = (await scripts.hold(holdId))?.expiresAtMs ?? 0
  return { accountId, holdId, expiresAtMs, sent }
}

/** The last record of the account. */
async function lastRecord(accountId: AccountId) {
  const records = (await scripts.entries()).flatMap((entry) => entry.records)
  return records.findLast((record) => record.accountId === accountId)
}

describe("a hold", () => {
  test("reserves: what is available falls, the balance does not, and there is no record", async () => {
    const { accountId, holdId, sent, expiresAtMs } = await heldAccount()
    const { clockMs } = await scripts.meta()
    expect<object[]>(sent.outcomes).toEqual([
      {
        ...{
          status: "held",
          isReplay: false,
          holdId,
          amountFen: 60,
          expiresAtMs: clockMs + 60_000,
        },
        ...{ balanceFen: 100, heldFen: 60, rate: null },
      },
    ])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 60, seq: 0 })
    expect(await lastRecord(accountId)).toBeUndefined()
    expect(await scripts.hold(holdId)).toMatchObject({
      ...{ state: "open", amountFen: 60, expiresAtMs, isInternal: false, details: DETAILS },
      ...{ counter: "", running: "" },
    })
  })

  test("leaves to charges and other holds what is available, and not a fen of itself", async () => {
    const { accountId } = await heldAccount()
    const { outcomes } = await gateway.send([
      { accountId, amountFen: 41 },
      { verb: "hold", accountId, amountFen: 41 },
      { verb: "hold", accountId, amountFen: 30 },
      { accountId, amountFen: 11 },
      { accountId, amountFen: 10 },
      { verb: "hold", accountId },
    ])
    expect(outcomes).toMatchObject([
      { status: "insufficient_balance", balanceFen: 100, heldFen: 60 },
      { status: "insufficient_balance", balanceFen: 100, heldFen: 60 },
      { status: "held", balanceFen: 100, heldFen: 90 },
      { status: "insufficient_balance", balanceFen: 100, heldFen: 90 },
      { status: "accepted", balanceFen: 90, heldFen: 90 },
      { status: "insufficient_balance", balanceFen: 90, heldFen: 90 },
    ])
  })

  test("is refused like a charge: account unknown, frozen, closed, another auth version", async () => {
    const frozen = await scripts.put({ balanceFen: 9, status: "frozen" })
    const closed = await scripts.put({ balanceFen: 9, status: "closed" })
    const changed = await scripts.put({ balanceFen: 9, authVersion: 7 })
    const unknown = await scripts.put()
    await scripts.redis.del(`{p0}:1:a:${unknown.slice(5)}`)
    const accounts = [unknown, frozen, closed, changed]
    const { outcomes } = await gateway.send(
      accounts.map((accountId) => ({ verb: "hold", accountId }) as const),
    )
    expect(outcomes).toEqual([
      { status: "account_unknown", rate: null },
      { status: "account_frozen", rate: null },
      { status: "account_closed", rate: null },
      { status: "auth_changed", authVersion: 7, rate: null },
    ])
  })
})

describe("a capture", () => {
  test("of all that is held takes it, and is a record of its own with the hold's details", async () => {
    const { accountId, holdId } = await heldAccount()
    const { outcomes } = await gateway.send([{ verb: "capture", holdId }])
    const { clockMs } = await scripts.meta()
    expect<object[]>(outcomes).toEqual([
      {
        ...{ status: "accepted", isReplay: false, amountFen: 60, balanceFen: 40, heldFen: 0 },
        ...{ seq: 1, atMs: clockMs, rate: null, details: DETAILS },
      },
    ])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 40, heldFen: 0, seq: 1 })
    expect(await lastRecord(accountId)).toMatchObject({
      ...{ kind: "capture", type: 2, seq: 1, amountFen: 60, balanceBeforeFen: 100 },
      ...{ balanceAfterFen: 40, keyId: "key_test", interface: "user.login", requestId: "req_h" },
      ...{ description: "of the hold", sourceId: null },
    })
    expect(await scripts.hold(holdId)).toMatchObject({ state: "captured", details: DETAILS })
  })

  test("of less takes that much, and gives back the rest", async () => {
    const { accountId, holdId } = await heldAccount()
    const { outcomes } = await gateway.send([{ verb: "capture", holdId, amountFen: 1 }])
    expect(outcomes).toMatchObject([{ amountFen: 1, balanceFen: 99, heldFen: 0, seq: 1 }])
    expect(await lastRecord(accountId)).toMatchObject({ kind: "capture", amountFen: 1 })
  })

  test("of more than is held is refused, says how much is, and the hold stays", async () => {
    const { accountId, holdId } = await heldAccount()
    const { outcomes } = await gateway.send([{ verb: "capture", holdId, amountFen: 61 }])
    expect<object[]>(outcomes).toEqual([{ status: "capture_exceeds_hold", holdFen: 60 }])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 60 })
    expect(
      (await gateway.send([{ verb: "capture", holdId, amountFen: 60 }])).outcomes,
    ).toMatchObject([{ status: "accepted" }])
  })

  test("works although the account was frozen, and its keys revoked, since", async () => {
    for (const change of [
      { status: "frozen" },
      { status: "closed" },
      { authVersion: 9 },
    ] as const) {
      const { accountId, holdId } = await heldAccount()
      const other = await scripts.put({ balanceFen: 100, heldFen: 60, ...change })
      await scripts.redis.rename(`{p0}:1:a:${other.slice(5)}`, `{p0}:1:a:${accountId.slice(5)}`)
      const { outcomes } = await gateway.send([{ verb: "capture", holdId, amountFen: 59 }])
      expect(outcomes).toMatchObject([{ status: "accepted", balanceFen: 41, heldFen: 0 }])
      expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 41, ...change })
    }
  })

  test("of a hold that nobody made is not found, and neither is a void of it", async () => {
    const accountId = await scripts.put({ balanceFen: 5 })
    const holdId = `hold_${accountId.slice(5)}${"0".repeat(16)}.1`
    const { outcomes } = await gateway.send([
      { verb: "capture", holdId },
      { verb: "void", holdId },
      { verb: "void", holdId, isExpiry: true },
    ])
    expect(outcomes).toEqual([
      { status: "hold_not_found" },
      { status: "hold_not_found" },
      { status: "hold_not_found" },
    ])
  })
})

describe("a void", () => {
  test("gives back all, and leaves no record", async () => {
    const { accountId, holdId } = await heldAccount()
    const { written } = await scripts.meta()
    const { outcomes } = await gateway.send([{ verb: "void", holdId }])
    expect<object[]>(outcomes).toEqual([
      { status: "voided", isReplay: false, balanceFen: 100, heldFen: 0 },
    ])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 0, seq: 0 })
    expect((await scripts.meta()).written).toBe(written)
    expect(await scripts.hold(holdId)).toMatchObject({ state: "voided" })
  })

  test("of one hold leaves the others of the account as they are", async () => {
    const { accountId, holdId } = await heldAccount()
    const second = holdIdOf(await gateway.send([{ verb: "hold", accountId, amountFen: 7 }]))
    await gateway.send([{ verb: "void", holdId }])
    expect(await scripts.state(accountId)).toMatchObject({ heldFen: 7 })
    expect(await scripts.hold(second)).toMatchObject({ state: "open" })
  })
})

describe("the time of a hold", () => {
  test("is not over a millisecond before; then it is, for captures too, swept or not", async () => {
    const { accountId, holdId, expiresAtMs } = await heldAccount({ ttlMs: 3_600_000 })
    const sweep = { verb: "void", holdId, isExpiry: true } as const
    await scripts.setClock(expiresAtMs - 1)
    expect((await gateway.send([sweep])).outcomes).toEqual([{ status: "unavailable" }])
    expect(await scripts.state(accountId)).toMatchObject({ heldFen: 60 })
    await scripts.setClock(expiresAtMs)
    expect((await gateway.send([{ verb: "capture", holdId }])).outcomes).toEqual([
      { status: "hold_expired" },
    ])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 60 })
    expect((await gateway.send([sweep])).outcomes).toMatchObject([{ status: "voided", heldFen: 0 }])
    expect(await scripts.hold(holdId)).toMatchObject({ state: "expired" })
    const after = await gateway.send([sweep, { verb: "capture", holdId }, { verb: "void", holdId }])
    expect(after.outcomes).toEqual([
      { status: "hold_expired" },
      { status: "hold_expired" },
      { status: "hold_expired" },
    ])
  })

  test("still allows a capture a millisecond before, and a void afterwards", async () => {
    const [left, right] = [await heldAccount({ ttlMs: 1 }), await heldAccount({ ttlMs: 2 })]
    await scripts.setClock(left.expiresAtMs + 3_600_000)
    const early = await heldAccount({ ttlMs: 1_000 })
    await scripts.setClock(early.expiresAtMs - 1)
    const { outcomes } = await gateway.send([
      { verb: "capture", holdId: early.holdId },
      { verb: "void", holdId: left.holdId },
      { verb: "void", holdId: right.holdId, isExpiry: true },
    ])
    expect(outcomes).toMatchObject([
      { status: "accepted" },
      { status: "voided" },
      { status: "voided" },
    ])
  })
})

describe("a hold resolves once", () => {
  const verbs: ((holdId: string) => ItemOf)[] = [
    (holdId) => ({ verb: "capture", holdId }),
    (holdId) => ({ verb: "capture", holdId, amountFen: 20 }),
    (holdId) => ({ verb: "void", holdId }),
    (holdId) => ({ verb: "void", holdId, isExpiry: true }),
  ]
  for (const [first, winner] of verbs.entries()) {
    for (const inOneBatch of [true, false]) {
      test(`whoever comes after ${first}, in ${inOneBatch ? "the same batch" : "later ones"}`, async () => {
        const { accountId, holdId, expiresAtMs } = await heldAccount()
        if (first === 3) await scripts.setClock(expiresAtMs)
        const items = [winner(holdId), ...verbs.map((verb) => verb(holdId))]
        const outcomes = inOneBatch
          ? (await gateway.send(items)).outcomes
          : (await inTurn(items)).flat()
        const [won, ...lost] = outcomes.map(({ status }) => status)
        expect(won).toBe(first < 2 ? "accepted" : "voided")
        const status = first === 3 ? "hold_expired" : "hold_already_resolved"
        expect(lost).toEqual(verbs.map(() => status))
        const balanceFen = [40, 80, 100, 100][first]
        expect(await scripts.state(accountId)).toMatchObject({ balanceFen, heldFen: 0 })
      })
    }
  }

  async function inTurn(items: ItemOf[]) {
    const all = []
    for (const item of items) all.push((await gateway.send([item])).outcomes)
    return all
  }
})

describe("an internal hold", () => {
  for (const verb of ["capture", "void"] as const) {
    test(`leaves nothing behind once a ${verb} has resolved it`, async () => {
      const { accountId, holdId } = await heldAccount({ isInternal: true })
      expect(await scripts.hold(holdId)).toMatchObject({ state: "open", isInternal: true })
      await gateway.send([{ verb, holdId }])
      expect(await scripts.redis.exists(holdKeyOf(holdId))).toBe(0)
      expect(await scripts.state(accountId)).toMatchObject({ heldFen: 0 })
      const { outcomes } = await gateway.send([
        { verb: "capture", holdId },
        { verb: "void", holdId },
      ])
      expect(outcomes).toEqual([{ status: "hold_not_found" }, { status: "hold_not_found" }])
    })
  }

  test("leaves nothing behind once its time is over", async () => {
    const { holdId, expiresAtMs } = await heldAccount({ isInternal: true })
    await scripts.setClock(expiresAtMs)
    const sweep = { verb: "void", holdId, isExpiry: true } as const
    expect((await gateway.send([sweep])).outcomes).toMatchObject([{ status: "voided" }])
    expect(await scripts.redis.exists(holdKeyOf(holdId))).toBe(0)
  })
})

test("a resolved hold is kept as long as results are, and no longer", async () => {
  const { holdId } = await heldAccount()
  await gateway.send([{ verb: "void", holdId }], { keptMs: 5_000 })
  const leftMs = await scripts.redis.pttl(holdKeyOf(holdId))
  expect(leftMs).toBeGreaterThan(0)
  expect(leftMs).toBeLessThanOrEqual(5_000)
})

test("a repeated batch of holds and captures gets its first answer, and changes nothing", async () => {
  const { accountId, holdId } = await heldAccount()
  const sent = await gateway.send([
    { verb: "capture", holdId, amountFen: 10 },
    { verb: "hold", accountId, amountFen: 50 },
    { verb: "void", holdId },
    { accountId, amountFen: 3 },
  ])
  const state = await scripts.stateBytes(accountId)
  for (let i = 0; i < 3; i++) {
    const { status, outcomes } = await sent.again()
    expect({ status, outcomes }).toEqual({ status: "done", outcomes: sent.outcomes })
  }
  expect(await scripts.stateBytes(accountId)).toEqual(state)
})

test("holds and captures are exact at every size", async () => {
  const most = 90_000_000_000_000
  const sizes: [number, number][] = [
    [4_503_599_627_370_495, most],
    [4_503_599_627_370_494, most - 1],
    [most, most],
    [4_294_967_296, 4_294_967_296],
    [4_294_967_297, 4_294_967_295],
  ]
  for (const [balanceFen, amountFen] of sizes) {
    const accountId = await scripts.put({ balanceFen, seq: 999_999_999_999_999 })
    const sent = await gateway.send([{ verb: "hold", accountId, amountFen }])
    expect(sent.outcomes).toMatchObject([{ amountFen, balanceFen, heldFen: amountFen }])
    const capture = { verb: "capture", holdId: holdIdOf(sent), amountFen: amountFen - 1 } as const
    expect((await gateway.send([capture])).outcomes).toMatchObject([
      { amountFen: amountFen - 1, balanceFen: balanceFen - amountFen + 1, seq: 1e15, heldFen: 0 },
    ])
    expect(await lastRecord(accountId)).toMatchObject({
      ...{ amountFen: amountFen - 1, balanceAfterFen: balanceFen - amountFen + 1, seq: 1e15 },
    })
  }
})
