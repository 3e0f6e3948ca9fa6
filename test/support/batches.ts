import { type AccountId, parseHoldId } from "../../src/ids.ts"
import { type Batch, createBatch } from "../../src/ledger/batch.ts"
import type {
  CaptureOutcome,
  ChargeItem,
  ChargeOutcome,
  HoldOutcome,
  Idempotency,
  KeyLimits,
  VoidOutcome,
} from "../../src/ledger/items.ts"
import { decodeSpecial, REPLY_HEADER_BYTES, REPLY_ITEM_BYTES } from "../../src/ledger/outcomes.ts"
import { fen } from "../../src/money.ts"
import { chargeOf } from "./details.ts"

/** Batches as tests write them, packed as a gateway packs them. */

type SpendingOf = {
  accountId: AccountId
  amountFen?: number
  authVersion?: number | null
  servicesVersion?: number | null
  limits?: KeyLimits
  idempotency?: Idempotency
  details?: string
}
export type ItemOf =
  | (SpendingOf & { verb?: "charge" })
  | (SpendingOf & { verb: "hold"; ttlMs?: number; isInternal?: boolean })
  | { verb: "capture"; holdId: string; amountFen?: number; idempotency?: Idempotency }
  | { verb: "void"; holdId: string; isExpiry?: boolean; idempotency?: Idempotency }

export type BatchOf = {
  slot: string
  batch: number
  items: ItemOf[]
  entryId?: string
  generation?: number
  partitions?: number
  unflushedMax?: number
  keptMs?: number
}

export type Outcome = ChargeOutcome | HoldOutcome | CaptureOutcome | VoidOutcome

export type Packed = {
  accounts: string[]
  others: string[]
  items: Buffer
  /** What the reply says of each item, in their order. */
  read(reply: Buffer, generation: number): Outcome[]
  /** The outcomes as the script writes them. */
  bytes(reply: Buffer): number[]
}

export function pack(items: readonly ItemOf[]): Packed {
  const batch = createBatch()
  let outcomes: Outcome[] = []
  for (const item of items) add(batch, item, (outcome) => outcomes.push(outcome))
  return {
    accounts: [...batch.accounts()],
    others: [...batch.others()],
    items: batch.items(),
    read(reply, generation) {
      outcomes = []
      batch.answer(reply, generation)
      return outcomes
    },
    bytes: (reply) => bytesOf(items, reply),
  }
}

function bytesOf(items: readonly ItemOf[], reply: Buffer): number[] {
  let at = REPLY_HEADER_BYTES
  return items.map((item) => {
    const byte = reply.readUInt8(at)
    at = isPlain(item) ? at + REPLY_ITEM_BYTES : decodeSpecial(reply, at).end
    return byte
  })
}

function isPlain(item: ItemOf): boolean {
  if (item.verb !== undefined && item.verb !== "charge") return false
  const { limits, idempotency, servicesVersion = null, authVersion = 1 } = item
  const isNamed = limits !== undefined || idempotency !== undefined || servicesVersion !== null
  return !isNamed && authVersion !== null
}

function add(batch: Batch, item: ItemOf, settle: (outcome: Outcome) => void): void {
  switch (item.verb) {
    case "hold":
      return batch.addHold(
        { ...spendingOf(item), ttlMs: item.ttlMs ?? 60_000, isInternal: item.isInternal ?? false },
        settle,
      )
    case "capture": {
      const { holdId, amountFen, idempotency = null } = item
      const amount = amountFen === undefined ? null : fen(amountFen)
      return batch.addCapture(idOf(holdId), { holdId, amountFen: amount, idempotency }, settle)
    }
    case "void": {
      const { holdId, isExpiry = false, idempotency = null } = item
      return batch.addVoid(idOf(holdId), { isExpiry, idempotency }, settle)
    }
    default:
      return batch.addCharge(spendingOf(item), settle)
  }
}

function spendingOf(item: SpendingOf): ChargeItem {
  const { accountId, amountFen = 1, authVersion = 1, servicesVersion = null } = item
  const { limits = null, idempotency = null, details } = item
  return chargeOf({
    ...{ accountId, amountFen: fen(amountFen), authVersion, servicesVersion, limits, idempotency },
    ...(details === undefined ? {} : { details }),
  })
}

function idOf(text: string) {
  const hold = parseHoldId(text)
  if (hold === null) throw new Error(`not a hold's id: ${text}`)
  return hold
}

/** A request with an Idempotency-Key, named by up to 16 characters. */
export function keyed(
  name: string,
  { fingerprint = "prints", isOnce = false }: Partial<Omit<Idempotency, "digest">> = {},
): Idempotency {
  return { digest: name.padEnd(16, "-"), fingerprint, isOnce }
}

type Budgets = { dailyFen?: number; monthlyFen?: number; totalFen?: number }

/** Limits of one API key; what is not named is not limited. */
export function limitsOf(
  keyId: string,
  given: Budgets & {
    version?: number
    ratePerSecond?: number
    expiresAtMs?: number
  },
): KeyLimits {
  const { version = 1, ratePerSecond = null, expiresAtMs = null } = given
  const { dailyFen, monthlyFen, totalFen } = given
  return {
    ...{ keyId, version, ratePerSecond, expiresAtMs },
    dailyFen: dailyFen === undefined ? null : fen(dailyFen),
    monthlyFen: monthlyFen === undefined ? null : fen(monthlyFen),
    totalFen: totalFen === undefined ? null : fen(totalFen),
  }
}

/** The id of the hold that a batch's item made. */
export function holdIdOf({ outcomes }: { outcomes: readonly Outcome[] }, place = 0): string {
  const outcome = outcomes[place]
  if (outcome?.status !== "held") throw new Error(`not held: ${JSON.stringify(outcome)}`)
  return outcome.holdId
}
