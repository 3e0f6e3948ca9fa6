import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { newId, randomChars } from "../../src/ids.ts"
import { holdIdOf, keyed, limitsOf } from "../support/batches.ts"
import { type Gateway, type Scripts, startScripts } from "../support/scripts.ts"
import { expectBooks } from "./books.ts"
import { apply, reversalOf } from "./instructions.ts"

/** One charge has two ways back, a revoke and an instruction: it takes one of them, once. */
let scripts: Scripts
let gateway: Gateway
beforeAll(async () => {
  scripts = await startScripts()
  gateway = await scripts.gateway()
})
afterEach(() => expectBooks(scripts))
afterAll(() => scripts.stop())

async function charged(amountFen = 30) {
  const accountId = await scripts.put({ balanceFen: 100 })
  const digest = randomChars(16)
  const sent = await gateway.send([{ accountId, amountFen, idempotency: keyed(digest) }])
  return { accountId, digest, sent }
}

async function lastRecords() {
  return (await scripts.entries()).at(-1)?.records
}

describe("a charge that an instruction has reversed", () => {
  test("is not reversed again by the revoke of its batch, which forgets its result all the same", async () => {
    const { accountId, digest, sent } = await charged()
    const reversal = reversalOf(accountId, { number: 2, seq: 1, amountFen: 30 })
    expect(await apply(scripts, accountId, { instructions: [reversal] })).toMatchObject({
      ...{ balanceFen: 100, seq: 2, instruction: 2 },
    })
    expect(await lastRecords()).toMatchObject([
      { kind: "reversal", type: 1, amountFen: 30, sourceId: reversal.sourceId, revokedAtMs: null },
    ])
    const { entryNumber } = await scripts.meta()
    expect(await sent.revoke()).toBe("revoked")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, seq: 2 })
    expect((await scripts.meta()).entryNumber).toBe(entryNumber)
    expect(await scripts.result(digest)).toBeNull()
  })

  test("is not reversed by another instruction either, which is done and moves nothing", async () => {
    const { accountId } = await charged()
    const instructions = [2, 3, 4].map((number) =>
      reversalOf(accountId, { number, seq: 1, amountFen: 30 }),
    )
    const { written } = await scripts.meta()
    expect(
      await apply(scripts, accountId, { instructions: instructions.slice(0, 2) }),
    ).toMatchObject({ balanceFen: 100, seq: 2, instruction: 3 })
    expect(await apply(scripts, accountId, { instructions })).toMatchObject({
      ...{ balanceFen: 100, seq: 2, instruction: 4 },
    })
    expect((await scripts.meta()).written).toBe(written + 1)
    expect(await lastRecords()).toMatchObject([
      { kind: "passed_over", type: 0, amountFen: 0, seq: 2, instruction: { number: 4 } },
    ])
  })

  test("stays reversed when the last of those who were told of it is revoked", async () => {
    const { accountId, digest, sent } = await charged()
    const other = await scripts.gateway()
    const told = await other.send([{ accountId, amountFen: 30, idempotency: keyed(digest) }])
    await sent.revoke()
    const reversal = reversalOf(accountId, { number: 2, seq: 1, amountFen: 30 })
    await apply(scripts, accountId, { instructions: [reversal] })
    await told.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, seq: 2 })
  })

  test("takes nothing from the others of its batch: these go back", async () => {
    const accountId = await scripts.put({ balanceFen: 100 })
    const sent = await gateway.send([1, 2, 4].map((amountFen) => ({ accountId, amountFen })))
    const reversal = reversalOf(accountId, { number: 2, seq: 2, amountFen: 2 })
    await apply(scripts, accountId, { instructions: [reversal] })
    await sent.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, seq: 6 })
    expect((await lastRecords())?.map(({ amountFen }) => Number(amountFen))).toEqual([1, 4])
  })
})

describe("a charge that a revoke has reversed", () => {
  test("is passed over by an instruction, which is done and moves nothing", async () => {
    const { accountId, sent } = await charged()
    await sent.revoke()
    const { written, entryNumber } = await scripts.meta()
    const reversal = reversalOf(accountId, { number: 2, seq: 1, amountFen: 30 })
    expect(await apply(scripts, accountId, { instructions: [reversal] })).toMatchObject({
      ...{ balanceFen: 100, seq: 2, instruction: 2 },
    })
    expect(await scripts.meta()).toMatchObject({ written, entryNumber: entryNumber + 1 })
    expect(await lastRecords()).toMatchObject([
      {
        ...{ kind: "passed_over", type: 0, amountFen: 0, seq: 2, balanceAfterFen: 100 },
        ...{ sourceId: reversal.sourceId, instruction: { number: 2 } },
      },
    ])
  })

  test("leaves the reversals of other charges, of the same number too, to their instructions", async () => {
    const [left, right] = [await charged(), await charged()]
    expect(await right.sent.revoke()).toBe("revoked")
    const reversal = reversalOf(left.accountId, { number: 2, seq: 1, amountFen: 30 })
    expect(await apply(scripts, left.accountId, { instructions: [reversal] })).toMatchObject({
      ...{ balanceFen: 100, seq: 2 },
    })
  })
})

describe("a capture", () => {
  async function captured(isInternal: boolean) {
    const [accountId, keyId] = [await scripts.put({ balanceFen: 100 }), newId("key")]
    await scripts.writeCounter(keyId)
    const limits = limitsOf(keyId, { dailyFen: 100 })
    const hold = { verb: "hold", accountId, amountFen: 60, isInternal, limits } as const
    const holdId = holdIdOf(await gateway.send([hold]))
    const sent = await gateway.send([{ verb: "capture", holdId, amountFen: 40 }])
    return { accountId, keyId, holdId, sent }
  }

  test("that an instruction has reversed is not reversed again, and its hold stays resolved", async () => {
    for (const isInternal of [false, true]) {
      const { accountId, keyId, holdId, sent } = await captured(isInternal)
      const reversal = reversalOf(accountId, { number: 2, seq: 1, amountFen: 40 })
      await apply(scripts, accountId, { instructions: [reversal] })
      await sent.revoke()
      expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 0, seq: 2 })
      const state = isInternal ? null : expect.objectContaining({ state: "captured" })
      expect(await scripts.hold(holdId)).toEqual(state)
      expect(await scripts.counter(keyId)).toMatchObject({ totalFen: 0 })
    }
  })

  test("that a revoke has reversed is passed over by an instruction; the next one of its hold is not", async () => {
    const { accountId, holdId, sent } = await captured(false)
    await sent.revoke()
    const first = reversalOf(accountId, { number: 2, seq: 1, amountFen: 40 })
    await apply(scripts, accountId, { instructions: [first] })
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 40, seq: 2 })
    await gateway.send([{ verb: "capture", holdId }])
    const second = reversalOf(accountId, { number: 3, seq: 3, amountFen: 40 })
    await apply(scripts, accountId, { instructions: [second] })
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 0, seq: 4 })
  })
})

test("marks name account and number exactly, beyond 10^15 too", async () => {
  const accountId = await scripts.put({ balanceFen: 100, seq: 999_999_999_999_999 })
  const sent = await gateway.send([{ accountId, amountFen: 30 }])
  await sent.revoke()
  const account = accountId.slice(5)
  expect(await scripts.redis.hexists("{p0}:1:reversed", `${account}1000000000000000`)).toBe(1)
  const reversal = reversalOf(accountId, { number: 2, seq: 1_000_000_000_000_000, amountFen: 30 })
  expect(await apply(scripts, accountId, { instructions: [reversal] })).toMatchObject({
    ...{ balanceFen: 100, instruction: 2 },
  })
})

test("a reversal that would leave the range of exact numbers is refused, and leaves no mark", async () => {
  const accountId = await scripts.put({ balanceFen: 4_503_599_627_370_495, seq: 8 })
  await gateway.send([{ accountId, amountFen: 5 }])
  const tooMuch = reversalOf(accountId, { number: 2, seq: 9, amountFen: 6 })
  expect(await apply(scripts, accountId, { instructions: [tooMuch] })).toBe("too_large")
  const all = reversalOf(accountId, { number: 2, seq: 9, amountFen: 5 })
  expect(await apply(scripts, accountId, { instructions: [all] })).toMatchObject({
    ...{ balanceFen: 4_503_599_627_370_495, instruction: 2 },
  })
})
