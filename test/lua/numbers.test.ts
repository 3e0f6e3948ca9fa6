import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type Scripts, startScripts } from "../support/scripts.ts"

/** Lua's numbers are doubles, and its text of them is rounded: none of ours may pass through either. */
let scripts: Scripts
beforeAll(async () => {
  scripts = await startScripts()
})
afterAll(() => scripts.stop())

const MAX = 9_007_199_254_740_991
const EDGES = [
  { balanceFen: 90_000_000_000_000, amountFen: 1 },
  { balanceFen: 90_000_000_000_000, amountFen: 90_000_000_000_000 },
  { balanceFen: 89_999_999_999_999, amountFen: 89_999_999_999_998 },
  { balanceFen: 99_999_999_999_999, amountFen: 1 },
  { balanceFen: 100_000_000_000_000, amountFen: 1 },
  { balanceFen: 999_999_999_999_999, amountFen: 1 },
  { balanceFen: 1_000_000_000_000_000, amountFen: 1 },
  { balanceFen: 1_000_000_000_000_001, amountFen: 1 },
  { balanceFen: 4_294_967_296, amountFen: 1 },
  { balanceFen: 4_294_967_295, amountFen: 4_294_967_295 },
  { balanceFen: MAX, amountFen: 1 },
  { balanceFen: MAX, amountFen: 4_294_967_297 },
  { balanceFen: MAX, amountFen: MAX },
  { balanceFen: MAX - 1, amountFen: MAX - 1 },
]

describe("a charge is exact in state, stream and reply, and so is its reversal", () => {
  for (const { balanceFen, amountFen } of EDGES) {
    test(`${amountFen} of ${balanceFen}`, async () => {
      const slot = await scripts.openSlot()
      const accountId = await scripts.put({ balanceFen, seq: 999_999_999_999_999 })
      const call = { slot, batch: 1, items: [{ accountId, amountFen }] }
      const left = balanceFen - amountFen
      const { outcomes } = await scripts.decide(call)
      expect(outcomes).toMatchObject([
        { status: "accepted", balanceFen: left, seq: 1_000_000_000_000_000 },
      ])
      expect(await scripts.state(accountId)).toMatchObject({
        balanceFen: left,
        seq: 1_000_000_000_000_000,
      })
      expect((await scripts.entries()).at(-1)?.records).toMatchObject([
        {
          amountFen,
          balanceBeforeFen: balanceFen,
          balanceAfterFen: left,
          seq: 1_000_000_000_000_000,
        },
      ])
      expect(await scripts.revoke(call)).toBe("revoked")
      expect(await scripts.state(accountId)).toMatchObject({
        balanceFen,
        seq: 1_000_000_000_000_001,
      })
      expect((await scripts.entries()).at(-1)?.records).toMatchObject([
        {
          amountFen,
          balanceBeforeFen: left,
          balanceAfterFen: balanceFen,
          seq: 1_000_000_000_000_001,
        },
      ])
    })
  }

  test("one fen more than there is, at every edge, is refused", async () => {
    const slot = await scripts.openSlot()
    const edges = EDGES.filter(({ balanceFen }) => balanceFen < MAX)
    const items = await Promise.all(
      edges.map(async ({ balanceFen }) => ({
        accountId: await scripts.put({ balanceFen }),
        amountFen: balanceFen + 1,
      })),
    )
    const { outcomes } = await scripts.decide({ slot, batch: 1, items })
    expect(outcomes).toMatchObject(
      edges.map(({ balanceFen }) => ({ status: "insufficient_balance", balanceFen })),
    )
  })
})

test("counts and times of a partition stay exact beyond 10^15", async () => {
  const [slot, accountId] = [await scripts.openSlot(), await scripts.put({ balanceFen: 5 })]
  const { entryNumber, entryId } = await scripts.meta()
  const far = 999_999_999_999_999
  await scripts.writeMeta({ written: far, flushed: far, clockMs: far })
  const { outcomes } = await scripts.decide({
    slot,
    batch: 1,
    items: [{ accountId }, { accountId }],
  })
  expect(outcomes).toMatchObject([{ atMs: far }, { atMs: far }])
  expect(await scripts.meta()).toMatchObject({
    written: far + 2,
    clockMs: far,
    entryNumber: entryNumber + 1,
  })
  expect((await scripts.entries()).at(-1)).toMatchObject({ previousId: entryId, atMs: far })
})

test("an acknowledgement beyond 10^15 names its entry exactly", async () => {
  const far = 1_000_000_000_000_001
  const [meta, stream] = ["{p9}:meta", "{p9}:1:stream"]
  await scripts.redis.xadd(stream, `1-${far - 1}`, "id", "a")
  await scripts.redis.xadd(stream, `1-${far}`, "id", "b")
  const before = await scripts.meta()
  await scripts.writeMeta({ entryNumber: far + 1, written: far, entryFlushed: 0 })
  await scripts.redis.copy("{p0}:meta", meta)
  await scripts.writeMeta(before)
  const args = ["1", String(far + 1), String(far), String(far - 1)]
  expect(await scripts.run("acknowledge", { keys: [meta, stream], args })).toEqual({
    status: "acknowledged",
  })
  expect((await scripts.redis.xrange(stream, "-", "+")).map(([id]) => id)).toEqual([`1-${far}`])
})
