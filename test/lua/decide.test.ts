import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { newAccountId } from "../../src/ids.ts"
import { metaKey, streamKey } from "../../src/ledger/keys.ts"
import { BATCH_ITEMS_MAX } from "../../src/limits.ts"
import type { BatchOf } from "../support/batches.ts"
import { type NewState, type Scripts, startScripts } from "../support/scripts.ts"

let scripts: Scripts
beforeAll(async () => {
  scripts = await startScripts()
})
afterAll(() => scripts.stop())

/** A row's batch breaks its own rule and every later row's too: so the order of rows is the precedence. */
describe("a batch is refused as a whole, and nothing is written", () => {
  const rows: [string, Partial<BatchOf>][] = [
    ["fenced", { generation: 2, slot: "no-such-slot", batch: 9, unflushedMax: 1 }],
    ["fenced", { partitions: 2, slot: "no-such-slot", batch: 9, unflushedMax: 1 }],
    ["slot_closed", { slot: "no-such-slot", batch: 9, unflushedMax: 1 }],
    ["barred", { batch: 1, unflushedMax: 1 }],
    ["ahead", { batch: 4, unflushedMax: 1 }],
    ["saturated", { batch: 3, unflushedMax: 1 }],
  ]
  for (const [status, call] of rows) {
    test(`${status}: ${JSON.stringify(call)}`, async () => {
      const slot = await scripts.openSlot()
      const accountId = await scripts.put({ balanceFen: 100 })
      for (const batch of [1, 2]) await scripts.decide({ slot, batch, items: [{ accountId }] })
      const before = await everything()
      const answer = await scripts.decide({ slot, batch: 3, items: [{ accountId }], ...call })
      expect<string>(answer.status).toBe(status)
      expect(await everything()).toEqual(before)
    })
  }

  test("fenced: there is no meta", async () => {
    const [slot, accountId] = [await scripts.openSlot(), await scripts.put({ balanceFen: 1 })]
    const meta = await scripts.meta()
    await scripts.redis.rename(metaKey(0), "kept")
    expect((await scripts.decide({ slot, batch: 1, items: [{ accountId }] })).status).toBe("fenced")
    await scripts.redis.rename("kept", metaKey(0))
    expect(await scripts.meta()).toEqual(meta)
  })

  test("fenced: the stream of this generation is not there", async () => {
    const [slot, accountId] = [await scripts.openSlot(), await scripts.put({ balanceFen: 1 })]
    await scripts.redis.rename(streamKey(0, 1), "kept")
    const before = await everything()
    expect((await scripts.decide({ slot, batch: 1, items: [{ accountId }] })).status).toBe("fenced")
    expect(await everything()).toEqual(before)
    await scripts.redis.rename("kept", streamKey(0, 1))
    expect((await scripts.decide({ slot, batch: 1, items: [{ accountId }] })).status).toBe("done")
  })
})

describe("an item is refused alone, and changes nothing of its account", () => {
  const poor: Partial<NewState> = { balanceFen: 5, heldFen: 3, seq: 7, authVersion: 2 }
  const rows: [string, Partial<NewState> | null, object][] = [
    ["account_unknown", null, {}],
    ["account_frozen", { ...poor, status: "frozen" }, {}],
    ["account_closed", { ...poor, status: "closed" }, {}],
    ["auth_changed", poor, { authVersion: 2 }],
    ["insufficient_balance", { ...poor, authVersion: 1 }, { balanceFen: 5, heldFen: 3 }],
  ]
  for (const [status, state, known] of rows) {
    test(status, async () => {
      const slot = await scripts.openSlot()
      const accountId =
        state === null ? newAccountId() : await scripts.put({ rest: "later", ...state })
      const before = await scripts.stateBytes(accountId)
      const { entryNumber } = await scripts.meta()
      const { outcomes } = await scripts.decide({
        slot,
        batch: 1,
        items: [{ accountId, amountFen: 3 }],
      })
      expect<object[]>(outcomes).toEqual([{ status, rate: null, ...known }])
      expect(await scripts.stateBytes(accountId)).toEqual(before)
      expect((await scripts.meta()).entryNumber).toBe(entryNumber)
    })
  }

  test("accepted: all that is available, and not a fen of what is held", async () => {
    const slot = await scripts.openSlot()
    const accountId = await scripts.put({ balanceFen: 5, heldFen: 3, seq: 7, rest: "later" })
    const items = [{ accountId, amountFen: 2 }, { accountId }]
    const { outcomes } = await scripts.decide({ slot, batch: 1, items })
    expect(outcomes).toMatchObject([
      { status: "accepted", balanceFen: 3, heldFen: 3, seq: 8 },
      { status: "insufficient_balance", balanceFen: 3, heldFen: 3 },
    ])
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 3, heldFen: 3, seq: 8 })
    expect((await scripts.stateBytes(accountId))?.subarray(33).toString()).toBe("later")
  })
})

describe("one batch", () => {
  test("charges the same account many times, each from what the one before left", async () => {
    const slot = await scripts.openSlot()
    const accountId = await scripts.put({ balanceFen: 10 })
    const amounts = [4, 7, 5, 2, 1]
    const { outcomes } = await scripts.decide({
      ...{ slot, batch: 1 },
      items: amounts.map((amountFen) => ({ accountId, amountFen })),
    })
    expect(outcomes).toMatchObject([
      { status: "accepted", balanceFen: 6, seq: 1 },
      { status: "insufficient_balance", balanceFen: 6 },
      { status: "accepted", balanceFen: 1, seq: 2 },
      { status: "insufficient_balance", balanceFen: 1 },
      { status: "accepted", balanceFen: 0, seq: 3 },
    ])
    const records = (await scripts.entries()).at(-1)?.records ?? []
    expect(
      records.map(({ seq, amountFen, balanceAfterFen }) => [seq, amountFen, balanceAfterFen]),
    ).toEqual([
      [1, 4, 6],
      [2, 5, 1],
      [3, 1, 0],
    ])
  })

  test("carries as many accounts as items, and answers each in its place", async () => {
    const slot = await scripts.openSlot()
    const balances = Array.from({ length: BATCH_ITEMS_MAX }, (_, i) => i % 3)
    const items = await Promise.all(
      balances.map(async (balanceFen) => ({ accountId: await scripts.put({ balanceFen }) })),
    )
    const { written, entryNumber } = await scripts.meta()
    const { outcomes } = await scripts.decide({ slot, batch: 1, items })
    expect(outcomes.map(({ status }) => status)).toEqual(
      balances.map((balance) => (balance > 0 ? "accepted" : "insufficient_balance")),
    )
    const accepted = outcomes.filter(({ status }) => status === "accepted").length
    expect(await scripts.meta()).toMatchObject({
      written: written + accepted,
      entryNumber: entryNumber + 1,
    })
  })

  test("writes one entry, which names its batch, its predecessor and the time of the answer", async () => {
    const slot = await scripts.openSlot()
    const [first, second] = [
      await scripts.put({ balanceFen: 9 }),
      await scripts.put({ balanceFen: 9 }),
    ]
    const { entryId: previousId, entryNumber } = await scripts.meta()
    const items = [{ accountId: first }, { accountId: second }, { accountId: first }]
    const { outcomes } = await scripts.decide({ slot, batch: 1, items, entryId: "entry--1" })
    const entry = (await scripts.entries()).at(-1)
    const [outcome] = outcomes
    if (outcome?.status !== "accepted") throw new Error("the first charge must be accepted")
    expect(entry).toMatchObject({ id: "entry--1", previousId, slot, batch: 1, atMs: outcome.atMs })
    expect(entry?.number).toBe(entryNumber + 1)
    expect(entry?.records.map(({ accountId, seq }) => [accountId, seq])).toEqual([
      [first, 1],
      [second, 1],
      [first, 2],
    ])
  })

  test("in which nothing is accepted writes its memo, and no entry", async () => {
    const slot = await scripts.openSlot()
    const before = await scripts.meta()
    const items = [{ accountId: newAccountId() }]
    await scripts.decide({ slot, batch: 1, items })
    expect((await scripts.decide({ slot, batch: 2, items })).status).toBe("done")
    expect(await scripts.meta()).toMatchObject({
      entryNumber: before.entryNumber,
      written: before.written,
    })
  })

  test("never goes back in time, whatever the clock of Redis says", async () => {
    const slot = await scripts.openSlot()
    const accountId = await scripts.put({ balanceFen: 9 })
    const clockMs = Date.now() + 3_600_000
    await scripts.writeMeta({ clockMs })
    const { outcomes } = await scripts.decide({ slot, batch: 1, items: [{ accountId }] })
    expect(outcomes).toMatchObject([{ status: "accepted", atMs: clockMs }])
    await scripts.writeMeta({ clockMs: Date.now() })
  })
})

async function everything(): Promise<Record<string, string>> {
  const keys = (await scripts.redis.keys("*")).sort()
  const dumps = await Promise.all(
    keys.map(async (key) => (await scripts.redis.dumpBuffer(key))?.toString("hex") ?? ""),
  )
  return Object.fromEntries(keys.map((key, i) => [key, dumps[i] ?? ""]))
}
