import { describe, expect, test } from "bun:test"
import slotOf from "cluster-key-slot"
import { hashTag } from "../../src/ledger/hash-tag.ts"
import { keyPrefix, metaKey } from "../../src/ledger/keys.ts"

/** How many of so many partitions lie on each of so many masters that share the slots evenly. */
function spread(partitions: number, masters: number): number[] {
  const counts = Array<number>(masters).fill(0)
  for (let partition = 0; partition < partitions; partition++) {
    const master = Math.floor((slotOf(hashTag(partition)) * masters) / 16_384)
    counts[master] = (counts[master] ?? 0) + 1
  }
  return counts
}

describe("partitions spread evenly", () => {
  for (const [partitions, masters] of [
    ...[[3, 3] as const, [6, 3] as const, [12, 3] as const, [24, 3] as const, [999, 3] as const],
    ...[[6, 6] as const, [12, 6] as const, [12, 12] as const, [24, 4] as const, [12, 2] as const],
  ]) {
    test(`${partitions} over ${masters} masters`, () => {
      const counts = spread(partitions, masters)
      expect(Math.max(...counts) - Math.min(...counts)).toBe(0)
    })
  }

  test("5 over 3, 7 over 5 and 16 over 7 masters, as far as that goes", () => {
    for (const [partitions, masters] of [[5, 3] as const, [7, 5] as const, [16, 7] as const]) {
      const counts = spread(partitions, masters)
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2)
    }
  })
})

test("each partition has a tag of its own, and always the same", () => {
  const tags = Array.from({ length: 1_024 }, (_, partition) => hashTag(partition))
  expect(new Set(tags).size).toBe(1_024)
  expect(tags.slice(0, 6)).toEqual(["p0", "p1a", "p2c", "p3a", "p4fa", "p5a"])
  expect(tags.every((tag, partition) => tag.startsWith(`p${partition}`))).toBe(true)
})

test("all keys of a partition lie in one slot", () => {
  expect(slotOf(metaKey(4))).toBe(slotOf(`${keyPrefix(4, 7)}a:someaccount`))
})
