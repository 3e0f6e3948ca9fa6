import { expect, test } from "bun:test"
import { createYielding } from "../../src/flusher/yielding.ts"
import {
  YIELD_FACTOR,
  YIELD_MS_MAX,
  YIELD_RECORDS_MAX,
  YIELD_RECORDS_MIN,
} from "../../src/limits.ts"

const BURST = { spentMs: 100, behind: YIELD_RECORDS_MIN }

function yieldingOf() {
  const machine = { nowMs: 0, isBusy: true }
  const yielding = createYielding({ nowMs: () => machine.nowMs, busy: () => machine.isBusy })
  return { machine, ...yielding }
}

test("a flusher with little behind it never waits, and neither does one whose cores have time", () => {
  const { machine, pauseMs } = yieldingOf()
  expect(pauseMs({ ...BURST, behind: YIELD_RECORDS_MIN - 1 })).toBe(0)
  machine.isBusy = false
  expect(pauseMs(BURST)).toBe(0)
})

test("in a burst it steps back, but for so many records only", () => {
  const { pauseMs } = yieldingOf()
  expect(pauseMs(BURST)).toBe(100 * YIELD_FACTOR)
  expect(pauseMs({ ...BURST, behind: YIELD_RECORDS_MAX })).toBe(100 * YIELD_FACTOR)
  expect(pauseMs({ ...BURST, behind: YIELD_RECORDS_MAX + 1 })).toBe(0)
})

test("it steps back for so long only, and not again before it has caught up", () => {
  const { machine, pauseMs } = yieldingOf()
  expect(pauseMs(BURST)).toBeGreaterThan(0)
  machine.nowMs = YIELD_MS_MAX
  expect(pauseMs(BURST)).toBeGreaterThan(0)
  machine.nowMs = YIELD_MS_MAX + 1
  expect(pauseMs(BURST)).toBe(0)
  machine.nowMs *= 10
  expect(pauseMs(BURST)).toBe(0)
  expect(pauseMs({ ...BURST, behind: 0 })).toBe(0)
  expect(pauseMs(BURST)).toBeGreaterThan(0)
})
