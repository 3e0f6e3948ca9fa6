import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { memoKey } from "../../src/ledger/keys.ts"
import { type Scripts, startScripts } from "../support/scripts.ts"

/** A batch has a number in its slot: however often and however late it comes, it runs once. */
let scripts: Scripts
beforeAll(async () => {
  scripts = await startScripts()
})
afterAll(() => scripts.stop())

async function fresh(balanceFen = 100) {
  const [slot, accountId] = [await scripts.openSlot(), await scripts.put({ balanceFen })]
  const call = (batch: number, amountFen = 1) => ({
    slot,
    batch,
    items: [{ accountId, amountFen }],
  })
  return { slot, accountId, call }
}

describe("charge", () => {
  test("answers the number that it decided last with its first reply, and changes nothing", async () => {
    const { accountId, call } = await fresh()
    const first = await scripts.decide(call(1, 30))
    const [state, meta] = [await scripts.state(accountId), await scripts.meta()]
    for (let i = 0; i < 3; i++) expect(await scripts.decide(call(1, 30))).toEqual(first)
    expect(await scripts.state(accountId)).toEqual(state)
    expect(await scripts.meta()).toEqual(meta)
  })

  test("leaves a memo that has no end, so that a retry is known however late it comes", async () => {
    const { slot, accountId, call } = await fresh()
    const idempotency = { digest: "d".repeat(16), fingerprint: "prints", isOnce: false }
    const batches = [call(1), { slot, batch: 2, items: [{ accountId, idempotency }] }]
    for (const batch of batches) {
      await scripts.decide(batch)
      expect(await scripts.redis.pttl(memoKey(0, 1, slot))).toBe(-1)
    }
  })

  test("answers a repeated refusal as it was, although there is money now", async () => {
    const { accountId, call } = await fresh(0)
    const first = await scripts.decide(call(1))
    await scripts.redis.set(
      `{p0}:1:a:${accountId.slice(5)}`,
      (await scripts.stateBytes(await scripts.put({ balanceFen: 9 }))) ?? "",
    )
    expect(await scripts.decide(call(1))).toEqual(first)
    expect(first.outcomes).toMatchObject([{ status: "insufficient_balance" }])
  })

  test("bars a lower number, and stops at a gap", async () => {
    const { accountId, call } = await fresh()
    for (const batch of [1, 2, 3]) await scripts.decide(call(batch))
    for (const batch of [0, 1, 2]) expect((await scripts.decide(call(batch))).status).toBe("barred")
    for (const batch of [5, 6, 900])
      expect((await scripts.decide(call(batch))).status).toBe("ahead")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 97, seq: 3 })
  })

  test("a first attempt that arrives after its retry and the next batch does not run", async () => {
    const { accountId, call } = await fresh()
    const late = call(1)
    await scripts.decide(call(1))
    await scripts.decide(call(2))
    expect((await scripts.decide(late)).status).toBe("barred")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 98, seq: 2 })
  })

  test("numbers of one slot say nothing about another's", async () => {
    const [left, right] = [await fresh(), await fresh()]
    await scripts.decide(left.call(1))
    await scripts.decide(left.call(2))
    expect((await scripts.decide(right.call(1))).status).toBe("done")
    expect((await scripts.decide(right.call(3))).status).toBe("ahead")
  })

  test("a batch of which nothing was accepted has a number like every other", async () => {
    const { call } = await fresh(0)
    await scripts.decide(call(1))
    expect((await scripts.decide(call(3))).status).toBe("ahead")
    expect((await scripts.decide(call(2))).status).toBe("done")
    expect((await scripts.decide(call(1))).status).toBe("barred")
  })
})

describe("revoke", () => {
  test("puts back what the batch took, by one reversal for each charge, and no more when repeated", async () => {
    const { accountId, call, slot } = await fresh()
    const other = await scripts.put({ balanceFen: 1 })
    const items = [
      ...call(1, 30).items,
      { accountId: other },
      { accountId: other },
      ...call(1, 5).items,
    ]
    const { outcomes } = await scripts.decide({ slot, batch: 1, items })
    const atMs = outcomes[0]?.status === "accepted" ? outcomes[0].atMs : Number.NaN
    const { written, entryNumber } = await scripts.meta()
    for (let i = 0; i < 3; i++)
      expect(await scripts.revoke({ slot, batch: 1, items })).toBe("revoked")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, seq: 4 })
    expect(await scripts.state(other)).toMatchObject({ balanceFen: 1, seq: 2 })
    expect(await scripts.meta()).toMatchObject({
      written: written + 3,
      entryNumber: entryNumber + 1,
    })
    const month = new Date(atMs).toISOString().slice(0, 7).replace("-", "")
    const [account, otherAccount] = [accountId.slice(5), other.slice(5)]
    expect((await scripts.entries()).at(-1)?.records).toMatchObject([
      {
        kind: "reversal",
        type: 1,
        seq: 3,
        amountFen: 30,
        balanceAfterFen: 95,
        sourceId: `chg_${account}_${month}_1`,
      },
      {
        kind: "reversal",
        type: 1,
        seq: 2,
        amountFen: 1,
        balanceAfterFen: 1,
        sourceId: `chg_${otherAccount}_${month}_1`,
      },
      {
        kind: "reversal",
        type: 1,
        seq: 4,
        amountFen: 5,
        balanceAfterFen: 100,
        sourceId: `chg_${account}_${month}_2`,
      },
    ])
  })

  test("bars the number of a batch that never came, for ever", async () => {
    const { accountId, call } = await fresh()
    expect(await scripts.revoke(call(1))).toBe("barred")
    expect((await scripts.decide(call(1))).status).toBe("barred")
    expect(await scripts.revoke(call(1))).toBe("revoked")
    expect((await scripts.decide(call(2))).status).toBe("done")
    expect((await scripts.decide(call(1))).status).toBe("barred")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 99, seq: 1 })
  })

  test("a late attempt of a revoked batch does not run", async () => {
    const { accountId, call } = await fresh()
    await scripts.decide(call(1))
    await scripts.revoke(call(1))
    expect((await scripts.decide(call(1))).status).toBe("barred")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, seq: 2 })
  })

  test("touches nothing where the batch is not the last one of its slot", async () => {
    const { accountId, call } = await fresh()
    await scripts.decide(call(1))
    await scripts.decide(call(2))
    expect(await scripts.revoke(call(1))).toBe("ahead")
    expect(await scripts.revoke(call(4))).toBe("ahead")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 98, seq: 2 })
  })

  test("refuses another generation, another number of partitions and an unknown slot", async () => {
    const { call } = await fresh()
    await scripts.decide(call(1))
    expect(await scripts.revoke({ ...call(1), generation: 2 })).toBe("fenced")
    expect(await scripts.revoke({ ...call(1), partitions: 2 })).toBe("fenced")
    expect(await scripts.revoke({ ...call(1), slot: "nobody" })).toBe("slot_closed")
  })

  test("writes nothing where the stream is not there, and can be repeated", async () => {
    const { accountId, call } = await fresh()
    await scripts.decide(call(1))
    await scripts.redis.rename("{p0}:1:stream", "kept")
    expect(await scripts.revoke(call(1))).toBe("fenced")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 99, seq: 1 })
    await scripts.redis.rename("kept", "{p0}:1:stream")
    expect(await scripts.revoke(call(1))).toBe("revoked")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, seq: 2 })
  })
})

describe("slots", () => {
  const openSlot = (slot: string, args = ["1", "1"]) =>
    scripts.run("openSlot", {
      keys: ["{p0}:meta", memoKey(0, 1, slot), "{p0}:1:stream"],
      args: [...args, "0", ""],
    })
  const closeSlot = (slot: string, batch: number) =>
    scripts.run("closeSlot", { keys: [memoKey(0, 1, slot)], args: [String(batch)] })

  test("a name is given once", async () => {
    expect(await openSlot("mine")).toEqual({ status: "opened" })
    expect(await openSlot("mine")).toEqual({ status: "taken" })
  })

  test("none is opened in another life of the ledger", async () => {
    expect(await openSlot("other", ["2", "1"])).toEqual({ status: "fenced" })
    expect(await openSlot("other", ["1", "2"])).toEqual({ status: "fenced" })
    expect(await scripts.redis.exists(memoKey(0, 1, "other"))).toBe(0)
  })

  test("is closed only with its last batch settled; then a late batch finds none", async () => {
    const { slot, call } = await fresh()
    await scripts.decide(call(1))
    expect(await closeSlot(slot, 0)).toEqual({ status: "unsettled" })
    expect(await closeSlot(slot, 1)).toEqual({ status: "closed" })
    expect(await closeSlot(slot, 1)).toEqual({ status: "closed" })
    expect((await scripts.decide(call(2))).status).toBe("slot_closed")
  })
})
