import { expect, test } from "bun:test"
import { createYielding } from "../../src/flusher/yielding.ts"
import {
  YIELD_FACTOR,
  YIELD_MS_MAX,
  YIELD_RATE_MIN,
  YIELD_RECORDS_MAX,
  YIELD_RECORDS_MIN,
} from "../../src/limits.ts"

/** A flusher on a machine of the test's own: a flush of 100 ms a second, in a burst. */
function flushing() {
  const machine = { nowMs: 0, isBusy: true, written: 0 }
  const yielding = createYielding({ nowMs: () => machine.nowMs, busy: () => machine.isBusy })
  const flush = (behind: number, { rate = YIELD_RATE_MIN, afterMs = 1_000 } = {}): number => {
    machine.nowMs += afterMs
    machine.written += (rate * afterMs) / 1_000
    return yielding.pauseMs({ spentMs: 100, behind, written: machine.written })
  }
  return { machine, flush }
}

test("a flusher with little behind it never waits, and neither does one whose cores have time", () => {
  const { machine, flush } = flushing()
  expect(flush(YIELD_RECORDS_MIN - 1)).toBe(0)
  machine.isBusy = false
  expect(flush(YIELD_RECORDS_MIN)).toBe(0)
})

test("in a burst it steps back, but for so many records only", () => {
  const { flush } = flushing()
  expect(flush(YIELD_RECORDS_MIN)).toBe(100 * YIELD_FACTOR)
  expect(flush(YIELD_RECORDS_MAX)).toBe(100 * YIELD_FACTOR)
  expect(flush(YIELD_RECORDS_MAX + 1)).toBe(0)
})

test("a rate that it can follow is no burst, and neither is what is left of one", () => {
  const { flush } = flushing()
  expect(flush(YIELD_RECORDS_MIN, { rate: YIELD_RATE_MIN - 1 })).toBe(0)
  expect(flush(YIELD_RECORDS_MAX, { rate: 0 })).toBe(0)
})

test("it steps back for so long only, and not again before it has caught up", () => {
  const { flush } = flushing()
  expect(flush(YIELD_RECORDS_MIN)).toBeGreaterThan(0)
  expect(flush(YIELD_RECORDS_MIN, { afterMs: YIELD_MS_MAX })).toBeGreaterThan(0)
  expect(flush(YIELD_RECORDS_MIN)).toBe(0)
  expect(flush(YIELD_RECORDS_MIN)).toBe(0)
  expect(flush(0)).toBe(0)
  expect(flush(YIELD_RECORDS_MIN)).toBeGreaterThan(0)
})
