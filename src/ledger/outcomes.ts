import type { Fen } from "../money.ts"
import { fenAt, integerAt } from "./bytes.ts"
import type {
  CaptureOutcome,
  ChargeOutcome,
  HoldOutcome,
  Rate,
  SpendingRefused,
  Unavailable,
  VoidOutcome,
} from "./items.ts"

/** What lua/decide.lua answered for one item, and what its outcome bytes mean (its header, ITEM). */

export const UNAVAILABLE: Unavailable = { status: "unavailable" }

/** Time of the batch, then where the stream stood after it: see `readSeen`. */
export const REPLY_HEADER_BYTES = 32
export const REPLY_ITEM_BYTES = 25
const REPLY_EXTRA_BYTES = 26

const REPLAYED = 7
const REPLAYED_WITHIN = 23

/** The reply to a special item: one that is not a plain charge. */
export type SpecialReply = {
  outcome: number
  balanceFen: Fen
  heldFen: Fen
  number: number
  amountFen: Fen
  /** When it was charged, or when the hold expires. */
  atMs: number
  rateLeft: number
  rateResetMs: number
  /** The name of a hold; of a capture the details of its hold. */
  tail: string
  end: number
}

export function decodeSpecial(reply: Buffer, at: number): SpecialReply {
  const extra = at + REPLY_ITEM_BYTES
  const tailAt = extra + REPLY_EXTRA_BYTES
  const end = tailAt + reply.readUInt16LE(extra + 24)
  return {
    outcome: reply.readUInt8(at),
    balanceFen: fenAt(reply, at + 1),
    heldFen: fenAt(reply, at + 9),
    number: integerAt(reply, at + 17),
    amountFen: fenAt(reply, extra),
    atMs: integerAt(reply, extra + 8),
    rateLeft: reply.readUInt32LE(extra + 16),
    rateResetMs: reply.readUInt32LE(extra + 20),
    tail: reply.toString("utf8", tailAt, end),
    end,
  }
}

/** The last entry of a stream, and how many records were written by then. */
export type Seen = { entryNumber: number; entryId: string; records: number }

/** Where the stream stood once a batch was decided. */
export function readSeen(reply: Buffer): Seen {
  return {
    entryNumber: integerAt(reply, 8),
    records: integerAt(reply, 16),
    entryId: reply.toString("latin1", 24, 32),
  }
}

/** Whether a revoke has something to undo: something was taken, or somebody was told of it. */
export function isToBeUndone(outcome: number): boolean {
  return outcome === 0 || outcome === REPLAYED
}

/** A plain charge: nothing but the first 25 bytes. */
export function decodeCharge(
  reply: Buffer,
  at: number,
  { atMs, amountFen }: { atMs: number; amountFen: Fen },
): ChargeOutcome {
  const outcome = reply.readUInt8(at)
  if (outcome === 0) {
    return {
      status: "accepted",
      isReplay: false,
      amountFen,
      balanceFen: fenAt(reply, at + 1),
      heldFen: fenAt(reply, at + 9),
      seq: integerAt(reply, at + 17),
      atMs,
      rate: null,
    }
  }
  const [balanceFen, heldFen] = [fenAt(reply, at + 1), fenAt(reply, at + 9)]
  return refusal({ outcome, balanceFen, heldFen, number: integerAt(reply, at + 17) }, null)
}

export function toChargeOutcome(reply: SpecialReply, rateLimit: number | null): ChargeOutcome {
  const rate = rateOf(reply, rateLimit)
  if (reply.outcome === 0 || isReplay(reply)) return { ...chargedOf(reply), rate }
  return reply.outcome === 10 ? { ...paidBefore(reply), rate } : refusal(reply, rate)
}

export function toHoldOutcome(
  reply: SpecialReply,
  { rateLimit, holdId }: { rateLimit: number | null; holdId: (name: string) => string },
): HoldOutcome {
  const rate = rateOf(reply, rateLimit)
  if (reply.outcome === 10) return { ...paidBefore(reply), rate }
  if (reply.outcome !== 0 && !isReplay(reply)) return refusal(reply, rate)
  const { balanceFen, heldFen, amountFen, atMs, tail } = reply
  return {
    status: "held",
    isReplay: isReplay(reply),
    holdId: holdId(tail),
    amountFen,
    balanceFen,
    heldFen,
    expiresAtMs: atMs,
    rate,
  }
}

export function toCaptureOutcome(reply: SpecialReply): CaptureOutcome {
  if (reply.outcome === 0 || isReplay(reply)) {
    return { ...chargedOf(reply), rate: null, details: reply.tail }
  }
  if (reply.outcome === 20) return { status: "capture_exceeds_hold", holdFen: reply.amountFen }
  return unresolved(reply.outcome)
}

export function toVoidOutcome(reply: SpecialReply): VoidOutcome {
  if (reply.outcome !== 0 && !isReplay(reply)) return unresolved(reply.outcome)
  const { balanceFen, heldFen } = reply
  return { status: "voided", isReplay: isReplay(reply), balanceFen, heldFen }
}

function isReplay({ outcome }: SpecialReply): boolean {
  return outcome === REPLAYED || outcome === REPLAYED_WITHIN
}

function chargedOf(reply: SpecialReply) {
  const { balanceFen, heldFen, amountFen, number: seq, atMs } = reply
  const isRepeated = isReplay(reply)
  return {
    status: "accepted",
    isReplay: isRepeated,
    amountFen,
    balanceFen,
    heldFen,
    seq,
    atMs,
  } as const
}

function paidBefore({ amountFen, number: seq, atMs }: SpecialReply) {
  return { status: "already_charged", amountFen, seq, atMs } as const
}

function rateOf({ rateLeft, rateResetMs }: SpecialReply, limit: number | null): Rate | null {
  return limit === null ? null : { limit, remaining: rateLeft, resetMs: rateResetMs }
}

type Refusal = { outcome: number; balanceFen: Fen; heldFen: Fen; number: number }

function refusal(
  { outcome, balanceFen, heldFen, number }: Refusal,
  rate: Rate | null,
): SpendingRefused | Unavailable {
  switch (outcome) {
    case 1:
      return { status: "account_unknown", rate }
    case 2:
      return { status: "account_frozen", rate }
    case 3:
      return { status: "account_closed", rate }
    case 4:
      return { status: "auth_changed", authVersion: number, rate }
    case 5:
      return { status: "insufficient_balance", balanceFen, heldFen, rate }
    case 6:
      return { status: "service_changed", rate }
    case 8:
      return { status: "idempotency_key_reused", rate }
    case 9:
      return { status: "request_in_progress", rate }
    case 11:
      return { status: "key_expired", rate }
    case 12:
      return { status: "key_budget_reached", limitSource: "daily", rate }
    case 13:
      return { status: "key_budget_reached", limitSource: "monthly", rate }
    case 14:
      return { status: "key_budget_reached", limitSource: "total", rate }
    case 15:
      return { status: "rate_limited", rate }
    case 16:
      return { status: "counter_missing", rate }
    case 22:
      return UNAVAILABLE
    default:
      return unknownOutcome()
  }
}

function unresolved(outcome: number) {
  switch (outcome) {
    case 8:
      return { status: "idempotency_key_reused" } as const
    case 17:
      return { status: "hold_not_found" } as const
    case 18:
      return { status: "hold_already_resolved" } as const
    case 19:
      return { status: "hold_expired" } as const
    // A hold that is looked at before its time, by the sweep alone: it looks again.
    case 21:
      return UNAVAILABLE
    default:
      return unknownOutcome()
  }
}

function unknownOutcome(): never {
  throw new Error("broken invariant: a reply holds an outcome that lua/decide.lua does not name")
}
