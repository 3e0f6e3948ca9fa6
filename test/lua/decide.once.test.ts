import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { randomChars } from "../../src/ids.ts"
import { holdIdOf, keyed } from "../support/batches.ts"
import { type Gateway, type Scripts, startScripts } from "../support/scripts.ts"
import { expectBooks } from "./books.ts"

/**
 * A forwarded call with an Idempotency-Key: its answer is worth the money, so that a repeat is
 * refused while the first runs, and once that is paid; and runs anew where that was not.
 */
let scripts: Scripts
let gateway: Gateway
beforeAll(async () => {
  scripts = await startScripts()
  gateway = await scripts.gateway()
})
afterEach(() => expectBooks(scripts))
afterAll(() => scripts.stop())

async function running(balanceFen = 100) {
  const [accountId, digest] = [await scripts.put({ balanceFen }), randomChars(16)]
  const idempotency = keyed(digest, { isOnce: true })
  const call = {
    ...({ verb: "hold", accountId, amountFen: 30, idempotency, isInternal: true } as const),
  }
  const sent = await gateway.send([call])
  return { accountId, digest, idempotency, call, sent, holdId: holdIdOf(sent) }
}

describe("while the first call runs", () => {
  test("a repeat is refused, in any later batch and in the same", async () => {
    const { accountId, digest, call } = await running()
    const { outcomes } = await gateway.send([call, { ...call, verb: "charge" }])
    const inProgress = { status: "request_in_progress", rate: null }
    expect<object[]>(outcomes).toEqual([inProgress, inProgress])
    expect(await scripts.result(digest)).toMatchObject({ state: "running", told: 0, tail: "" })
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 30 })

    const idempotency = keyed(randomChars(16), { isOnce: true })
    const twice = await gateway.send([
      { ...call, idempotency },
      { ...call, idempotency },
    ])
    expect(twice.outcomes).toMatchObject([{ status: "held" }, { status: "request_in_progress" }])
  })

  test("another request under its key is refused as another", async () => {
    const { digest, call } = await running()
    const idempotency = keyed(digest, { fingerprint: "other!", isOnce: true })
    const { outcomes } = await gateway.send([{ ...call, idempotency }])
    expect(outcomes).toMatchObject([{ status: "idempotency_key_reused" }])
  })

  test("the hold names its request, so that whoever resolves it finds both", async () => {
    const { digest, holdId } = await running()
    expect(await scripts.hold(holdId)).toMatchObject({ running: digest, counter: "" })
    expect(holdId).toEndWith(`..${digest}`)
  })
})

describe("once it is captured", () => {
  test("a repeat is told that it is paid, when, and how much: of its own charge", async () => {
    const { accountId, digest, call, holdId } = await running()
    const captured = await gateway.send([{ verb: "capture", holdId, amountFen: 20 }])
    const { clockMs } = await scripts.meta()
    expect(captured.outcomes).toMatchObject([{ status: "accepted", amountFen: 20, seq: 1 }])
    await gateway.send([{ accountId, amountFen: 1 }])
    const { outcomes } = await gateway.send([call, { ...call, verb: "charge" }])
    const paid = { status: "already_charged", amountFen: 20, seq: 1, atMs: clockMs, rate: null }
    expect<object[]>(outcomes).toEqual([paid, paid])
    expect(await scripts.result(digest)).toMatchObject({ state: "charged", told: 0, number: 1 })
  })

  test("its result is kept for a day from the capture on, not from the call", async () => {
    const { digest, holdId } = await running()
    await scripts.redis.pexpire(`{p0}:1:r:${digest}`, 5_000)
    await gateway.send([{ verb: "capture", holdId }])
    expect(await scripts.redis.pttl(`{p0}:1:r:${digest}`)).toBeGreaterThan(86_000_000)
  })

  test("and its result has gone meanwhile, no result comes back", async () => {
    const { digest, holdId } = await running()
    await scripts.redis.del(`{p0}:1:r:${digest}`)
    expect((await gateway.send([{ verb: "capture", holdId }])).outcomes).toMatchObject([
      { status: "accepted" },
    ])
    expect(await scripts.result(digest)).toBeNull()
  })

  test("in the batch of the repeat, before it, the repeat is told so", async () => {
    const { call, holdId } = await running()
    const { outcomes } = await gateway.send([call, { verb: "capture", holdId }, call])
    expect(outcomes).toMatchObject([
      { status: "request_in_progress" },
      { status: "accepted" },
      { status: "already_charged", amountFen: 30 },
    ])
  })
})

describe("once it is voided, or its time is over", () => {
  test("the key is free, and a repeat runs anew", async () => {
    for (const isExpiry of [false, true]) {
      const { digest, call, holdId } = await running()
      const { expiresAtMs = 0 } = (await scripts.hold(holdId)) ?? {}
      if (isExpiry) await scripts.setClock(expiresAtMs)
      await gateway.send([{ verb: "void", holdId, isExpiry }])
      expect(await scripts.result(digest)).toBeNull()
      const again = await gateway.send([call])
      expect(again.outcomes).toMatchObject([{ status: "held", isReplay: false }])
      expect(holdIdOf(again)).not.toBe(holdId)
    }
  })

  test("also in the batch of the repeat, where the new hold has the key", async () => {
    const { digest, call, holdId } = await running()
    const sent = await gateway.send([{ verb: "void", holdId }, call, call])
    expect(sent.outcomes).toMatchObject([
      { status: "voided" },
      { status: "held" },
      { status: "request_in_progress" },
    ])
    expect(await scripts.result(digest)).toMatchObject({ state: "running" })
    await gateway.send([{ verb: "capture", holdId: holdIdOf(sent, 1) }])
    expect(await scripts.result(digest)).toMatchObject({ state: "charged" })
  })
})

test("a capture that names another request than its hold does leaves that one alone", async () => {
  const [mine, theirs] = [await running(), await running()]
  const forged = mine.holdId.replace(mine.digest, theirs.digest)
  for (const verb of ["capture", "void"] as const) {
    const { outcomes } = await gateway.send([{ verb, holdId: forged }])
    expect(outcomes).toHaveLength(1)
    expect(await scripts.result(theirs.digest)).toMatchObject({ state: "running", told: 0 })
  }
})

test("a charge may be of such a kind too: its repeat is told that it is paid", async () => {
  const accountId = await scripts.put({ balanceFen: 9 })
  const idempotency = keyed(randomChars(16), { isOnce: true })
  const sent = await gateway.send([
    { accountId, amountFen: 4, idempotency },
    { accountId, amountFen: 4, idempotency },
  ])
  expect(sent.outcomes).toMatchObject([
    { status: "accepted", seq: 1, balanceFen: 5 },
    { status: "already_charged", seq: 1, amountFen: 4 },
  ])
})
