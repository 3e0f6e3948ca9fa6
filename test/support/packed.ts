import { writeInteger } from "../../src/ledger/bytes.ts"

/** What the scripts keep beside accounts and meta, read and written as `lua/README.md` says. */

export type Counter = {
  version: number
  /** Of Shanghai: days since 1970, and year * 12 + month - 1. */
  day: number
  dayFen: number
  month: number
  monthFen: number
  totalFen: number
  /** Thousandths of a call that the rate limit has left, and when that was so. */
  tokens: number
  tokensAtMs: number
}

export const COUNTER_BYTES = 52

export function decodeCounter(bytes: Buffer): Counter {
  return {
    version: bytes.readUInt32LE(0),
    day: bytes.readUInt32LE(4),
    dayFen: longAt(bytes, 8),
    month: bytes.readUInt32LE(16),
    monthFen: longAt(bytes, 20),
    totalFen: longAt(bytes, 28),
    tokens: longAt(bytes, 36),
    tokensAtMs: longAt(bytes, 44),
  }
}

export function encodeCounter(counter: Counter): Buffer {
  const bytes = Buffer.alloc(COUNTER_BYTES)
  bytes.writeUInt32LE(counter.version, 0)
  bytes.writeUInt32LE(counter.day, 4)
  writeInteger(bytes, counter.dayFen, 8)
  bytes.writeUInt32LE(counter.month, 16)
  writeInteger(bytes, counter.monthFen, 20)
  writeInteger(bytes, counter.totalFen, 28)
  writeInteger(bytes, counter.tokens, 36)
  writeInteger(bytes, counter.tokensAtMs, 44)
  return bytes
}

const HOLD_STATES = ["", "open", "captured", "voided", "expired"] as const

export type HoldState = {
  state: (typeof HOLD_STATES)[number]
  amountFen: number
  expiresAtMs: number
  isInternal: boolean
  /** Of its counter, when it was made: what it does not take goes back there alone. */
  day: number
  month: number
  version: number
  counter: string
  /** The keyed request that waits for it. */
  running: string
  details: string
}

export const HOLD_BYTES = 62

export function decodeHold(bytes: Buffer): HoldState {
  return {
    state: HOLD_STATES[bytes.readUInt8(0)] ?? "",
    amountFen: longAt(bytes, 1),
    expiresAtMs: longAt(bytes, 9),
    isInternal: bytes.readUInt8(17) === 1,
    day: bytes.readUInt32LE(18),
    month: bytes.readUInt32LE(22),
    version: bytes.readUInt32LE(26),
    counter: bytes.toString("latin1", 30, 46).trim(),
    running: bytes.toString("latin1", 46, 62).trim(),
    details: bytes.toString("utf8", HOLD_BYTES),
  }
}

const RESULT_STATES = ["", "charged", "held", "running", "voided"] as const
const ORPHANED = 16

export type Result = {
  state: (typeof RESULT_STATES)[number]
  /** The batch that made it was revoked, and somebody else has been told of it. */
  isOrphaned: boolean
  /** How many answers have repeated it. */
  told: number
  fingerprint: string
  balanceFen: number
  heldFen: number
  number: number
  amountFen: number
  atMs: number
  tail: string
}

export const RESULT_BYTES = 44

export function decodeResult(bytes: Buffer): Result {
  const state = bytes.readUInt8(0)
  return {
    state: RESULT_STATES[state % ORPHANED] ?? "",
    isOrphaned: state >= ORPHANED,
    told: bytes.readUInt8(1),
    fingerprint: bytes.toString("latin1", 2, 8),
    balanceFen: longAt(bytes, 8),
    heldFen: longAt(bytes, 16),
    number: longAt(bytes, 24),
    amountFen: bytes.readUIntLE(32, 6),
    atMs: bytes.readUIntLE(38, 6),
    tail: bytes.toString("utf8", RESULT_BYTES),
  }
}

function longAt(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at))
}
