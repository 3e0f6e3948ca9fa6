import { expect, test } from "bun:test"
import { createHistogram, merge, microsAt, percentilesOf } from "../../bench/generator/histogram.ts"

function counted(values: readonly number[]) {
  const histogram = createHistogram()
  for (const value of values) histogram.record(value)
  return histogram.snapshot()
}

test("a percentile is off by less than 0.8 %, at any size, and never too low", () => {
  for (let micros = 1; micros < 2 ** 32; micros = Math.ceil(micros * 1.37)) {
    // The highest of all is kept exactly; so another one must be above what is asked for.
    const found = microsAt(counted([micros, 2 ** 32]), 0.5)
    expect(found).toBeGreaterThanOrEqual(micros)
    expect(found).toBeLessThan(micros * 1.008 + 1)
  }
})

test("percentiles are those of the values in order", () => {
  const counts = counted(Array.from({ length: 10_000 }, (_, i) => 10_000 - i))
  const { p50, p90, p99, p999 } = percentilesOf(counts)
  for (const [found, ms] of [[p50, 5] as const, [p90, 9] as const, [p99, 9.9] as const]) {
    expect(Math.abs(found - ms)).toBeLessThan(ms * 0.008)
  }
  expect(p999).toBeLessThanOrEqual(10)
  expect(microsAt(counts, 1)).toBe(10_000)
})

test("two histograms together are one of all their values", () => {
  const [left, right] = [
    [3, 5_000, 70_000],
    [3, 900_000],
  ]
  expect(merge([counted(left), counted(right)])).toEqual(counted([...left, ...right]))
})

test("what outlasts the longest bucket is counted, and its length kept as the highest", () => {
  const counts = counted([2 ** 40])
  expect([counts.count, counts.maxMicros, microsAt(counts, 0.5)]).toEqual([1, 2 ** 40, 2 ** 32 - 1])
})
