import { type AccountId, type HoldId, holdId, randomChars } from "../ids.ts"
import { BATCH_ITEMS_MAX } from "../limits.ts"
import { type Fen, fen } from "../money.ts"
import { integerAt, writeInteger } from "./bytes.ts"
import type {
  CaptureItem,
  CaptureOutcome,
  ChargeItem,
  ChargeOutcome,
  HoldItem,
  HoldOutcome,
  Idempotency,
  KeyLimits,
  Unavailable,
  VoidOutcome,
} from "./items.ts"
import {
  decodeCharge,
  decodeSpecial,
  isToBeUndone,
  REPLY_HEADER_BYTES,
  REPLY_ITEM_BYTES,
  type SpecialReply,
  toCaptureOutcome,
  toChargeOutcome,
  toHoldOutcome,
  toVoidOutcome,
  UNAVAILABLE,
} from "./outcomes.ts"

type Settle<Outcome> = (outcome: Outcome) => void

/** An item that is not a plain charge: its answer is longer, and read in its own way. */
type Special = {
  answer(reply: SpecialReply, generation: number): void
  refuse(outcome: Unavailable): void
}

// Verbs and flags of lua/decide.lua.
const CHARGE = 0
const HOLD = 1
const CAPTURE = 2
const VOID = 3
const KEYED = 4
const ONCE = 8
const LIMITED = 16
const SERVICE = 32
const UNVERIFIED = 64
const INTERNAL = 128
const EXPIRY = 256

const ITEM_HEADER_BYTES = 18
/** Of all that flags can announce. */
const EXTRAS_BYTES_MAX = 64
const UTF8_BYTES_PER_CHAR_MAX = 3
/** Stands for all that a hold has. */
const NOTHING = fen(0)

/** The items of one script call: packed as they come, so that sending costs nothing more. */
export type Batch = {
  readonly count: () => number
  readonly isFull: () => boolean
  addCharge(item: ChargeItem, settle: Settle<ChargeOutcome>): void
  addHold(item: HoldItem, settle: Settle<HoldOutcome>): void
  addCapture(hold: HoldId, item: CaptureItem, settle: Settle<CaptureOutcome>): void
  addVoid(
    hold: HoldId,
    item: { isExpiry: boolean; idempotency: Idempotency | null },
    settle: Settle<VoidOutcome>,
  ): void
  /** The 16 characters of each account, in the order in which items name them. */
  accounts(): Iterable<string>
  /** Likewise the results, counters and holds: what follows the generation in their keys. */
  others(): Iterable<string>
  items(): Buffer
  /** Gives every caller the outcome that the script's reply holds for it. */
  answer(reply: Buffer, generation: number): void
  refuseAll(): void
  /** Whether a batch that was decided took anything, so that a revoke has something to put back. */
  tookAnything(reply: Buffer): boolean
}

export function createBatch(): Batch {
  const accounts = new Map<string, number>()
  const others = new Map<string, number>()
  const waiting: (Settle<ChargeOutcome> | Special)[] = []
  const amounts: Fen[] = []
  let bytes = Buffer.allocUnsafe(16_384)
  let length = 0

  return {
    count: () => waiting.length,
    isFull: () => waiting.length >= BATCH_ITEMS_MAX,
    addCharge,
    addHold,
    addCapture,
    addVoid,
    accounts: () => accounts.keys(),
    others: () => others.keys(),
    items: () => bytes.subarray(0, length),
    answer,
    refuseAll,
    tookAnything,
  }

  function addCharge(item: ChargeItem, settle: Settle<ChargeOutcome>): void {
    const flags = flagsOf(CHARGE, item)
    writeItem(flags, item)
    if (flags === 0) {
      waiting.push(settle)
      return
    }
    writeSpendingExtras(item)
    const rateLimit = item.limits?.ratePerSecond ?? null
    waiting.push({ answer: (reply) => settle(toChargeOutcome(reply, rateLimit)), refuse: settle })
  }

  function addHold(item: HoldItem, settle: Settle<HoldOutcome>): void {
    const { accountId, idempotency, isInternal, ttlMs, limits } = item
    writeItem(flagsOf(HOLD, item) + (isInternal ? INTERNAL : 0), item)
    writeSpendingExtras(item)
    writeShort(placeOf(others, `h:${accountId.slice(5)}${randomChars(16)}`))
    writeLong(ttlMs)
    const rateLimit = limits?.ratePerSecond ?? null
    const keyId = hasCounter(limits) ? limits.keyId : null
    const runningDigest = idempotency?.isOnce === true ? idempotency.digest : null
    waiting.push({
      answer: (reply, generation) => {
        const idOf = (name: string) => holdId({ name, generation, keyId, runningDigest })
        settle(toHoldOutcome(reply, { rateLimit, holdId: idOf }))
      },
      refuse: settle,
    })
  }

  function addCapture(hold: HoldId, item: CaptureItem, settle: Settle<CaptureOutcome>): void {
    writeResolution(hold, { verb: CAPTURE, ...item })
    waiting.push({ answer: (reply) => settle(toCaptureOutcome(reply)), refuse: settle })
  }

  function addVoid(
    hold: HoldId,
    { isExpiry, idempotency }: { isExpiry: boolean; idempotency: Idempotency | null },
    settle: Settle<VoidOutcome>,
  ): void {
    const verb = VOID + (isExpiry ? EXPIRY : 0)
    writeResolution(hold, { verb, amountFen: null, idempotency })
    waiting.push({ answer: (reply) => settle(toVoidOutcome(reply)), refuse: settle })
  }

  function writeItem(
    flags: number,
    { accountId, amountFen, authVersion, details }: ItemHead,
  ): void {
    const account = accountId.slice(5)
    let place = accounts.get(account)
    if (place === undefined) {
      place = accounts.size + 1
      accounts.set(account, place)
    }
    reserve(ITEM_HEADER_BYTES + EXTRAS_BYTES_MAX + details.length * UTF8_BYTES_PER_CHAR_MAX)
    const written = bytes.write(details, length + ITEM_HEADER_BYTES)
    bytes.writeUInt16LE(flags, length)
    bytes.writeUInt16LE(place, length + 2)
    writeInteger(bytes, amountFen, length + 4)
    bytes.writeUInt32LE(authVersion ?? 0, length + 12)
    bytes.writeUInt16LE(written, length + 16)
    length += ITEM_HEADER_BYTES + written
    amounts.push(amountFen)
  }

  function writeSpendingExtras({ idempotency, limits, servicesVersion }: ChargeItem): void {
    if (idempotency !== null) writeKey(idempotency)
    if (limits !== null) writeLimits(limits)
    if (servicesVersion !== null) writeWord(servicesVersion)
  }

  function writeKey({ digest, fingerprint }: Idempotency): void {
    writeShort(placeOf(others, `r:${digest}`))
    length += bytes.write(fingerprint, length, 6, "latin1")
  }

  function writeLimits(limits: KeyLimits): void {
    writeShort(hasCounter(limits) ? placeOf(others, `k:${limits.keyId.slice(4)}`) : 0)
    writeWord(limits.version)
    writeLong(limits.dailyFen ?? 0)
    writeLong(limits.monthlyFen ?? 0)
    writeLong(limits.totalFen ?? 0)
    writeWord(limits.ratePerSecond ?? 0)
    writeLong(limits.expiresAtMs ?? 0)
  }

  function writeResolution(
    { accountId, name, keyId, runningDigest }: HoldId,
    item: { verb: number; amountFen: Fen | null; idempotency: Idempotency | null },
  ): void {
    const { verb, amountFen, idempotency } = item
    const flags = verb + (idempotency === null ? 0 : KEYED)
    writeItem(flags, { accountId, amountFen: amountFen ?? NOTHING, authVersion: 0, details: "" })
    if (idempotency !== null) writeKey(idempotency)
    writeShort(placeOf(others, `h:${name}`))
    writeShort(keyId === null ? 0 : placeOf(others, `k:${keyId.slice(4)}`))
    writeShort(runningDigest === null ? 0 : placeOf(others, `r:${runningDigest}`))
  }

  function writeShort(value: number): void {
    bytes.writeUInt16LE(value, length)
    length += 2
  }

  function writeWord(value: number): void {
    bytes.writeUInt32LE(value, length)
    length += 4
  }

  function writeLong(value: number): void {
    writeInteger(bytes, value, length)
    length += 8
  }

  function reserve(more: number): void {
    if (length + more <= bytes.length) return
    const larger = Buffer.allocUnsafe(2 * (length + more))
    bytes.copy(larger, 0, 0, length)
    bytes = larger
  }

  function answer(reply: Buffer, generation: number): void {
    const atMs = integerAt(reply, 0)
    let at = REPLY_HEADER_BYTES
    let place = 0
    for (const waiter of waiting) {
      const amountFen = amounts[place++] ?? missing()
      if (typeof waiter === "function") {
        waiter(decodeCharge(reply, at, { atMs, amountFen }))
        at += REPLY_ITEM_BYTES
      } else {
        const special = decodeSpecial(reply, at)
        waiter.answer(special, generation)
        at = special.end
      }
    }
    if (at !== reply.length) missing()
  }

  function refuseAll(): void {
    for (const waiter of waiting) {
      if (typeof waiter === "function") waiter(UNAVAILABLE)
      else waiter.refuse(UNAVAILABLE)
    }
  }

  function tookAnything(reply: Buffer): boolean {
    let at = REPLY_HEADER_BYTES
    for (const waiter of waiting) {
      if (isToBeUndone(reply.readUInt8(at))) return true
      at = typeof waiter === "function" ? at + REPLY_ITEM_BYTES : decodeSpecial(reply, at).end
    }
    return false
  }
}

type ItemHead = {
  accountId: AccountId
  amountFen: Fen
  authVersion: number | null
  details: string
}

function flagsOf(verb: number, item: ChargeItem): number {
  const { idempotency, limits, servicesVersion, authVersion } = item
  let flags = verb
  if (idempotency !== null) flags += idempotency.isOnce ? KEYED + ONCE : KEYED
  if (limits !== null) flags += LIMITED
  if (servicesVersion !== null) flags += SERVICE
  if (authVersion === null) flags += UNVERIFIED
  return flags
}

/** An expiry alone needs no counter. */
function hasCounter(limits: KeyLimits | null): limits is KeyLimits {
  if (limits === null) return false
  const { dailyFen, monthlyFen, totalFen, ratePerSecond } = limits
  return dailyFen !== null || monthlyFen !== null || totalFen !== null || ratePerSecond !== null
}

function placeOf(places: Map<string, number>, name: string): number {
  let place = places.get(name)
  if (place === undefined) {
    place = places.size + 1
    places.set(name, place)
  }
  return place
}

function missing(): never {
  throw new Error("broken invariant: a reply has not one outcome for each item of its batch")
}
