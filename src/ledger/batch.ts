import type { AccountId } from "../ids.ts"
import { BATCH_ITEMS_MAX } from "../limits.ts"
import type { Fen } from "../money.ts"
import { fenAt, integerAt, writeInteger } from "./records.ts"

/** One charge on its way to the script. `details` is kept as it is and read again by the flusher. */
export type ChargeItem = {
  accountId: AccountId
  amountFen: Fen
  /** The account's auth version under which the credential was verified. */
  authVersion: number
  details: string
}

/** The words of lua/charge.lua, in the order of its outcome bytes, and what is known with each. */
export type ChargeOutcome =
  | { status: "accepted"; balanceFen: Fen; heldFen: Fen; seq: number; atMs: number }
  | { status: "account_unknown" }
  | { status: "account_frozen" }
  | { status: "account_closed" }
  | { status: "auth_changed"; authVersion: number }
  | { status: "insufficient_balance"; balanceFen: Fen; heldFen: Fen }
  | { status: "unavailable" }

export const UNAVAILABLE: ChargeOutcome = { status: "unavailable" }

type Settle = (outcome: ChargeOutcome) => void

const ITEM_HEADER_BYTES = 16
const REPLY_HEADER_BYTES = 8
const REPLY_ITEM_BYTES = 25
const UTF8_BYTES_PER_CHAR_MAX = 3

/** The items of one script call: packed as they come, so that sending costs nothing more. */
export type Batch = {
  readonly count: () => number
  readonly isFull: () => boolean
  add(item: ChargeItem, settle: Settle): void
  /** The 16 characters of each account, in the order in which items name them. */
  accounts(): Iterable<string>
  items(): Buffer
  /** Gives every caller the outcome that the script's reply holds for it. */
  answer(reply: Buffer): void
  answerAll(outcome: ChargeOutcome): void
}

export function createBatch(): Batch {
  const places = new Map<string, number>()
  const settles: Settle[] = []
  let bytes = Buffer.allocUnsafe(8_192)
  let length = 0

  return {
    count: () => settles.length,
    isFull: () => settles.length >= BATCH_ITEMS_MAX,
    add,
    accounts: () => places.keys(),
    items: () => bytes.subarray(0, length),
    answer,
    answerAll,
  }

  function add({ accountId, amountFen, authVersion, details }: ChargeItem, settle: Settle): void {
    const account = accountId.slice(5)
    let place = places.get(account)
    if (place === undefined) {
      place = places.size + 1
      places.set(account, place)
    }
    reserve(ITEM_HEADER_BYTES + details.length * UTF8_BYTES_PER_CHAR_MAX)
    const written = bytes.write(details, length + ITEM_HEADER_BYTES)
    bytes.writeUInt16LE(place, length)
    writeInteger(bytes, amountFen, length + 2)
    bytes.writeUInt32LE(authVersion, length + 10)
    bytes.writeUInt16LE(written, length + 14)
    length += ITEM_HEADER_BYTES + written
    settles.push(settle)
  }

  function reserve(more: number): void {
    if (length + more <= bytes.length) return
    const larger = Buffer.allocUnsafe(2 * (length + more))
    bytes.copy(larger, 0, 0, length)
    bytes = larger
  }

  function answer(reply: Buffer): void {
    if (reply.length !== REPLY_HEADER_BYTES + settles.length * REPLY_ITEM_BYTES) {
      throw new Error("broken invariant: a reply has not one outcome for each item of its batch")
    }
    const atMs = integerAt(reply, 0)
    let at = REPLY_HEADER_BYTES
    for (const settle of settles) {
      settle(decodeOutcome(reply, at, atMs))
      at += REPLY_ITEM_BYTES
    }
  }

  function answerAll(outcome: ChargeOutcome): void {
    for (const settle of settles) settle(outcome)
  }
}

/** Whether a batch that was decided took anything, so that a revoke has something to put back. */
export function tookAnything(reply: Buffer): boolean {
  for (let at = REPLY_HEADER_BYTES; at < reply.length; at += REPLY_ITEM_BYTES) {
    if (reply[at] === 0) return true
  }
  return false
}

function decodeOutcome(reply: Buffer, at: number, atMs: number): ChargeOutcome {
  switch (reply.readUInt8(at)) {
    case 0:
      return {
        status: "accepted",
        balanceFen: fenAt(reply, at + 1),
        heldFen: fenAt(reply, at + 9),
        seq: integerAt(reply, at + 17),
        atMs,
      }
    case 1:
      return { status: "account_unknown" }
    case 2:
      return { status: "account_frozen" }
    case 3:
      return { status: "account_closed" }
    case 4:
      return { status: "auth_changed", authVersion: integerAt(reply, at + 17) }
    case 5: {
      const [balanceFen, heldFen] = [fenAt(reply, at + 1), fenAt(reply, at + 9)]
      return { status: "insufficient_balance", balanceFen, heldFen }
    }
    default:
      throw new Error(
        "broken invariant: a reply holds an outcome that lua/charge.lua does not name",
      )
  }
}
