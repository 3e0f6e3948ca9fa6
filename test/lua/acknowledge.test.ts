import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { FENCE_PARTITION_TEXT, OPEN_PARTITION_TEXT } from "../../src/ledger/scripts.ts"
import { decodeMeta } from "../../src/ledger/states.ts"
import { type Scripts, startScripts } from "../support/scripts.ts"

let scripts: Scripts
beforeAll(async () => {
  scripts = await startScripts()
  const [slot, accountId] = [await scripts.openSlot(), await scripts.put({ balanceFen: 100 })]
  for (let batch = 1; batch <= 6; batch++)
    await scripts.decide({ slot, batch, items: [{ accountId }] })
})
afterAll(() => scripts.stop())

type Acknowledgement = { generation?: number; entry: number; records?: number; trim?: number }

async function acknowledge({ generation = 1, entry, records = entry, trim = 0 }: Acknowledgement) {
  const reply = await scripts.run("acknowledge", {
    keys: ["{p0}:meta", "{p0}:1:stream"],
    args: [generation, entry, records, trim].map(String),
  })
  return reply.status
}

async function numbersInStream(): Promise<number[]> {
  const entries = await scripts.redis.xrange("{p0}:1:stream", "-", "+")
  return entries.map(([id]) => Number(id.split("-")[1]))
}

describe("acknowledge", () => {
  test("notes what is committed, and never goes back", async () => {
    expect(await acknowledge({ entry: 3 })).toBe("acknowledged")
    expect(await scripts.meta()).toMatchObject({
      flushed: 3,
      entryFlushed: 3,
      written: 6,
      entryNumber: 6,
    })
    expect(await acknowledge({ entry: 2 })).toBe("acknowledged")
    expect(await scripts.meta()).toMatchObject({ flushed: 3, entryFlushed: 3 })
  })

  test("refuses what this Redis never had, and another generation", async () => {
    const before = await scripts.meta()
    expect(await acknowledge({ entry: 7 })).toBe("ahead")
    expect(await acknowledge({ entry: 6, records: 7 })).toBe("ahead")
    expect(await acknowledge({ entry: 6, generation: 2, trim: 6 })).toBe("fenced")
    expect(await scripts.meta()).toEqual(before)
    expect(await numbersInStream()).toEqual([0, 1, 2, 3, 4, 5, 6])
  })

  test("trims nothing by itself, and nothing that is not committed", async () => {
    await acknowledge({ entry: 3 })
    expect(await numbersInStream()).toEqual([0, 1, 2, 3, 4, 5, 6])
    await acknowledge({ entry: 3, trim: 6 })
    expect(await numbersInStream()).toEqual([0, 1, 2, 3, 4, 5, 6])
  })

  test("keeps the last committed entry, whatever is to be trimmed", async () => {
    await acknowledge({ entry: 4, trim: 2 })
    expect(await numbersInStream()).toEqual([3, 4, 5, 6])
    await acknowledge({ entry: 4, trim: 4 })
    expect(await numbersInStream()).toEqual([3, 4, 5, 6])
    await acknowledge({ entry: 6, trim: 5 })
    expect(await numbersInStream()).toEqual([6])
    await acknowledge({ entry: 6, trim: 6 })
    expect(await numbersInStream()).toEqual([6])
  })

  test("an older acknowledgement that comes late trims no more than it may", async () => {
    await acknowledge({ entry: 4, trim: 3 })
    expect(await numbersInStream()).toEqual([6])
    expect((await scripts.meta()).entryFlushed).toBe(6)
  })
})

describe("open_partition", () => {
  const open = (generation: number, { stream = "{p5}:stream", pages = 0 } = {}) =>
    scripts.redis.call(
      ...(["EVAL", OPEN_PARTITION_TEXT, 4] as const),
      ...["{p5}:meta", stream, "{p5}:claim", "{p5}:built"],
      ...[generation, 3, 7, "genesis5", 99, 4, pages],
    )

  const fence = (claim: number) =>
    scripts.redis.call("EVAL", FENCE_PARTITION_TEXT, 2, "{p5}:meta", "{p5}:claim", claim)

  test("of two that build, the one with the later claim opens; the other's generation never does", async () => {
    await scripts.redis.xadd("{p5}:older", "8-0", "id", "genesis8")
    await scripts.redis.xadd("{p5}:later", "9-0", "id", "genesis9")
    expect([await fence(8), await fence(9), await fence(8)]).toEqual([
      ["cleared"],
      ["cleared"],
      ["fenced"],
    ])
    expect(await open(8, { stream: "{p5}:older" })).toEqual(["fenced"])
    expect(await open(9, { stream: "{p5}:later" })).toEqual(["opened"])
    await scripts.redis.del("{p5}:meta", "{p5}:claim")
  })

  test("a partition that is fenced has no generation, and all else as it was", async () => {
    await scripts.redis.xadd("{p6}:stream", "2-0", "id", "genesis6")
    await scripts.redis.call("EVAL", FENCE_PARTITION_TEXT, 2, "{p6}:meta", "{p6}:claim", 2)
    await scripts.redis.call(
      ...(["EVAL", OPEN_PARTITION_TEXT, 4] as const),
      ...["{p6}:meta", "{p6}:stream", "{p6}:claim", "{p6}:built"],
      ...[2, 3, 7, "genesis6", 99, 4, 0],
    )
    await scripts.redis.call("EVAL", FENCE_PARTITION_TEXT, 2, "{p6}:meta", "{p6}:claim", 3)
    const meta = decodeMeta((await scripts.redis.getBuffer("{p6}:meta")) ?? Buffer.alloc(0))
    expect(meta).toMatchObject({ generation: 0, partitions: 3, written: 7, entryId: "genesis6" })
    const claim = (await scripts.redis.getBuffer("{p6}:claim")) ?? Buffer.alloc(0)
    expect([claim.readUInt32LE(0), claim.readUInt32LE(4)]).toEqual([3, 2])
  })

  test("begins a generation once, and never an older one", async () => {
    expect(await open(2)).toEqual(["fenced"])
    await scripts.redis.xadd("{p5}:stream", "2-0", "id", "genesis5")
    expect(await open(2)).toEqual(["fenced"])
    expect(await fence(2)).toEqual(["cleared"])
    expect(await open(2)).toEqual(["opened"])
    expect(await open(2)).toEqual(["fenced"])
    expect(await fence(1)).toEqual(["fenced"])
    expect(await open(1)).toEqual(["fenced"])
    expect(await fence(3)).toEqual(["cleared"])
    expect(await open(3, { stream: "{p5}:missing" })).toEqual(["fenced"])
    await scripts.redis.set("{p5}:built", 2)
    expect(await open(3, { pages: 3 })).toEqual(["fenced"])
    expect(await open(3, { pages: 2 })).toEqual(["opened"])
    expect(await scripts.redis.exists("{p5}:built")).toBe(0)
    const meta = (await scripts.redis.getBuffer("{p5}:meta")) ?? Buffer.alloc(0)
    expect<object>(decodeMeta(meta)).toEqual({
      ...{ generation: 3, partitions: 3, clockMs: 99, written: 7, flushed: 7, services: 4 },
      ...{ entryNumber: 0, entryId: "genesis5", entryFlushed: 0 },
    })
  })
})
