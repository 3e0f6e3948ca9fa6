import { expect, test } from "bun:test"
import { type Asked, type Look, linearise, type Recorded } from "./linearise.ts"
import { NOBODY } from "./model.ts"

/** What the search takes for explained, on an account of 10 fen that is charged 4 under one key. */
const AT_MS = 1_000
const KEY = { digest: "key", fingerprint: "print", isOnce: false }
const START = { ...NOBODY, balanceFen: 10, seq: 1 }

const charge = (op: string, outcome: Asked["outcome"]): Asked => {
  return { request: { op, verb: "charge", amountFen: 4, authVersion: 1, key: KEY }, outcome }
}
const accepted = (isReplay: boolean, seq: number, balanceFen: number) => {
  const told = { status: "accepted", isReplay, amountFen: 4, balanceFen, heldFen: 0 }
  return { ...told, seq, atMs: AT_MS }
}
const record = (kind: "charge" | "reversal", balanceAfterFen: number, cause: string): Recorded => {
  return { kind, amountFen: 4, balanceAfterFen, cause, atMs: AT_MS, instruction: null }
}
const CHARGED = {
  ...({ state: "charged", fingerprint: "print", hold: null } as const),
  ...{ seq: 2, balanceFen: 6, heldFen: 0, atMs: AT_MS },
}
const after = (balanceFen: number, seq: number, isKept: boolean): Look => {
  const results = new Map(isKept ? [["key", CHARGED]] : [])
  return { ...NOBODY, balanceFen, seq, holds: new Map(), results }
}

test.each([
  {
    name: "a repeat on the other gateway gets the answer of the first",
    lanes: [[charge("a", accepted(false, 2, 6))], [charge("b", accepted(true, 2, 6))]],
    records: [record("charge", 6, "a")],
    look: after(6, 2, true),
    status: "found",
  },
  {
    name: "a repeat is charged twice",
    lanes: [[charge("a", accepted(false, 2, 6))], [charge("b", accepted(false, 3, 2))]],
    records: [record("charge", 6, "a"), record("charge", 2, "b")],
    look: after(2, 3, true),
    status: "none",
  },
  {
    name: "what was answered 503 is taken back",
    lanes: [[charge("a", "unavailable")], []],
    records: [record("charge", 6, "a"), record("reversal", 10, "2")],
    look: after(10, 3, false),
    status: "found",
  },
  {
    name: "what was answered 503 stands",
    lanes: [[charge("a", "unavailable")], []],
    records: [record("charge", 6, "a")],
    look: after(6, 2, true),
    status: "none",
  },
  {
    name: "what was answered 503 stands, because a repeat of it was answered",
    lanes: [[charge("a", "unavailable")], [charge("b", accepted(true, 2, 6))]],
    records: [record("charge", 6, "a")],
    look: after(6, 2, true),
    status: "found",
  },
  {
    name: "what a killed gateway had decided stands",
    lanes: [[charge("a", "lost")], []],
    records: [record("charge", 6, "a")],
    look: after(6, 2, true),
    status: "found",
  },
  {
    name: "what was answered is put back",
    lanes: [[charge("a", accepted(false, 2, 6))], []],
    records: [record("charge", 6, "a"), record("reversal", 10, "2")],
    look: after(10, 3, false),
    status: "none",
  },
  {
    name: "a charge leaves no record",
    lanes: [[charge("a", accepted(false, 2, 6))], []],
    records: [],
    look: after(6, 2, true),
    status: "none",
  },
])("$name: $status", ({ lanes, records, look, status }) => {
  const history = { lanes, records, look, fromMs: AT_MS, toMs: AT_MS }
  expect(linearise(START, history).status).toBe(status === "found" ? "found" : "none")
})
