import { expect, test } from "bun:test"
import { Problem } from "../../src/errors.ts"
import { createRecordGate } from "../../src/http/record-gate.ts"
import type { RecordState } from "../../src/ledger/behind.ts"

/** A gate whose record is in these states, one after the other; the last one stays. */
function gateOf(...states: RecordState[]) {
  const asked: RecordState[] = []
  const gate = createRecordGate(async () => {
    const state = (states.length > 1 ? states.shift() : states[0]) ?? "unknown"
    asked.push(state)
    return state
  })
  return { gate, asked }
}

test("it waits until the record is compared, once for all who ask, and then asks no more", async () => {
  const { gate, asked } = gateOf("behind", "behind", "level")
  await Promise.all([gate.require(), gate.require(), gate.require()])
  await gate.require()
  expect(asked).toEqual(["behind", "behind", "level"])
})

test("a record that stays behind is refused with 503, and asked about again", async () => {
  const { gate, asked } = gateOf("behind")
  const refusal = await gate.require().catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(Problem)
  expect(String(refusal)).toContain("billing_unavailable")
  expect(asked.length).toBeGreaterThan(1)
})

test("a connection that ended meanwhile is a new doubt, which an answer of before does not dispel", async () => {
  const { gate, asked } = gateOf("behind", "level")
  const first = gate.require()
  gate.doubt()
  await Promise.all([first, gate.require()])
  await gate.require()
  gate.doubt()
  await gate.require()
  expect(asked.filter((state) => state === "level").length).toBe(3)
})

test("what cannot be known is asked again by the next", async () => {
  const { gate, asked } = gateOf("unknown")
  await gate.require()
  await gate.require()
  expect(asked).toEqual(["unknown", "unknown"])
})
