import { randomChars } from "../ids.ts"
import {
  type NumberedBatch,
  type Pressure,
  type SlotPlace,
  sendBatch,
  sendCloseSlot,
  sendOpenSlot,
  sendRevoke,
} from "./attempts.ts"
import type { Batch } from "./batch.ts"
import type { RedisNodes } from "./cluster.ts"
import { readEntryId, readMeta } from "./meta.ts"
import { type OpenedLedger, type Openings, ofPartition } from "./opening.ts"
import { readSeen, type Seen } from "./outcomes.ts"
import type { Past } from "./over.ts"
import type { RevokeFile } from "./revokes.ts"
import type { ScriptReply } from "./run-script.ts"

/** A batch under its number in the slot. */
export type Numbered = { batch: Batch; number: number; entryId: string }

/**
 * A process's slot in one partition: under which name and generation its batches are sent, and the
 * number of the last one whose outcome is known.
 */
export type Slot = {
  generation(): number
  /** Whether it was answered under the opening that this process knows; else that is still to come. */
  isCurrent(): boolean
  number(batch: Batch): Numbered
  settled(number: number, reply: Buffer): void
  /** Its revoke was carried out. */
  undone(order: NumberedBatch): void
  /** Redis has lost batches: this opening is not believed any more. */
  doubt(): void
  /**
   * Takes a new slot under a new name, so that a batch of the one before that is still on its way
   * finds none. False where Redis or Postgres does not give it now.
   */
  open(): Promise<boolean>
  send(call: Numbered): Promise<ScriptReply>
  /** What a revoke of this batch needs, also in another process. */
  orderOf(call: Numbered): NumberedBatch
  /** Where the generation of the batch is over, it is taken back from the record. */
  revoke(order: NumberedBatch): Promise<ScriptReply>
  /** False where the last batch of the slot is not settled: then it is left as it is. */
  close(): Promise<boolean>
}

export type SlotDeps = {
  redis: RedisNodes
  openings: Openings
  partition: number
  revokeFile: RevokeFile
  past: Past
  pressure: Pressure
}

/** `throughRecords`: written once it had been revoked. */
type Revoked = NumberedBatch & { throughRecords?: number }

/** Nothing of a batch that was revoked once stands any more, or it is told as lost what came after it. */
const UNDONE: ReadonlySet<ScriptReply["status"]> = new Set([
  ...(["revoked", "barred", "slot_closed", "ahead"] as const),
])

const UNSCRIPTED = { status: "unscripted" } as const
const AHEAD = { status: "ahead" } as const

export function createSlot(deps: SlotDeps): Slot {
  const { redis, openings, partition, revokeFile, past, pressure } = deps
  let place: SlotPlace = { partition, generation: 0, slot: "" }
  /**
   * The opening under which it was answered last: what was seen until then was there. The one of the scripts
   * that were called last. And the one that lost something.
   */
  let [opening, called, doubted] = [0, 0, 0]
  let last = 0
  let seen: Seen | null = null
  /** What the keeper has of it in any case. */
  let left: Seen | null = null
  /** Batches of this generation that were revoked, where Postgres may not know of it yet. */
  const revoked: Revoked[] = []
  return {
    generation: () => place.generation,
    isCurrent,
    number: (batch) => ({ batch, number: last + 1, entryId: randomChars(8) }),
    settled(number, reply) {
      last = number
      seen = readSeen(reply)
      // Another partition's slot may have heard first of a new opening: this one goes on under it.
      opening = called
    },
    undone,
    doubt() {
      doubted = opening
    },
    open,
    send,
    orderOf,
    revoke,
    close,
  }

  async function open(): Promise<boolean> {
    if (await openAnother()) return true
    await leaveSeen().catch(() => undefined)
    return false
  }

  /** This process may end before it hears what became of Redis. */
  async function leaveSeen(): Promise<void> {
    const mine = seen
    if (mine === null || mine === left) return
    const { generation } = place
    await past.noteSighting({ ...mine, partition, generation, opening })
    left = mine
  }

  async function openAnother(): Promise<boolean> {
    const opened = await openings.reload().catch(() => null)
    if (opened === null) return false
    const next = {
      partition,
      generation: ofPartition(opened.generations, partition),
      slot: randomChars(12),
    }
    const nextOpening = ofPartition(opened.openings, partition)
    const isSame = place.generation === next.generation
    // Until the keeper has verified the node, and opened it anew.
    if (nextOpening === 0) return false
    if (isSame && nextOpening === doubted) {
      if (nextOpening === opening) await past.doubt({ partition, opening })
      return false
    }
    if (!(await undoAgain(opened))) return false
    if (!isSame) revoked.splice(0)
    // The keeper learns what was seen before anything more is sent.
    if (isSame ? nextOpening !== opening : !(await isInStream())) await tellSeen(nextOpening)
    const reply = await sendOpenSlot(redis, opened, { ...next, seen: isSame ? seen : null })
    if (reply.status === "ahead") {
      if (nextOpening !== opening) await tellDiverged()
      doubted = nextOpening
    }
    if (reply.status !== "opened") return false
    await revokeFile.open(next)
    // Nothing of the slot before is under way; what never arrived finds no slot.
    if (isSame) await sendCloseSlot(redis, opened, { ...place, settled: last })
    else seen = null
    place = next
    opening = nextOpening
    last = 0
    return true
  }

  /** What a Redis put back, and may have lost before it was flushed, is put back once more. */
  async function undoAgain(opened: OpenedLedger): Promise<boolean> {
    for (const order of [...revoked]) {
      if (ofPartition(opened.generations, partition) !== order.generation) {
        if (!(await past.takeBack(order))) return false
      } else {
        const { status } = await sendRevoke(redis, opened, order)
        if (!UNDONE.has(status)) return false
      }
    }
    return true
  }

  function undone(order: NumberedBatch): void {
    last = order.number
    const kept: Revoked = { ...order }
    revoked.push(kept)
    void noteFlushed(kept).catch(() => undefined)
  }

  /** What Postgres has of them cannot be lost any more. */
  async function noteFlushed(kept: Revoked): Promise<void> {
    const meta = await readMeta(redis, partition)
    if (meta?.generation !== kept.generation) return
    kept.throughRecords = meta.written
    const open = revoked.filter(({ throughRecords = Infinity }) => throughRecords > meta.flushed)
    revoked.splice(0, revoked.length, ...open)
  }

  function isCurrent(): boolean {
    const opened = openings.current()
    if (opened === null) return false
    const isSame = ofPartition(opened.generations, partition) === place.generation
    return isSame && ofPartition(opened.openings, partition) === opening
  }

  /**
   * Whether the stream of this slot's generation, which is over, has the entry that was seen: then it was
   * drained. Where it is gone, or has another under that number, the keeper compares.
   */
  async function isInStream(): Promise<boolean> {
    if (seen === null) return true
    const { entryNumber, entryId } = seen
    return (await readEntryId(redis, { ...place, entryNumber })) === entryId
  }

  /** A Postgres that was restored knows of earlier openings: what stood at one of those is no measure. */
  async function tellSeen(nextOpening: number): Promise<void> {
    if (seen === null || nextOpening < opening) return
    const { generation } = place
    const under = { seenOpening: opening, opening: nextOpening }
    await past.noteSeen({ ...seen, ...under, partition, generation })
  }

  /** A Redis that has come as far as what was seen, and does not have that, came there by another way. */
  async function tellDiverged(): Promise<void> {
    const meta = await readMeta(redis, partition)
    if (seen === null || meta === null || meta.entryNumber < seen.entryNumber) return
    const { entryNumber } = seen
    await past.noteDiverged({ partition, generation: place.generation, entryNumber })
  }

  function send({ batch, number, entryId }: Numbered): Promise<ScriptReply> {
    const opened = openings.current()
    if (opened === null) return Promise.resolve(UNSCRIPTED)
    called = ofPartition(opened.openings, partition)
    return sendBatch(redis, opened, { batch, place, number, entryId, pressure })
  }

  function orderOf({ batch, number }: Numbered): NumberedBatch {
    const [accounts, others] = [[...batch.accounts()], [...batch.others()]]
    const afterRecords = seen?.records ?? 0
    return { ...place, number, accounts, others, items: batch.items(), afterRecords }
  }

  async function revoke(order: NumberedBatch): Promise<ScriptReply> {
    const opened = openings.current()
    if (opened === null) return UNSCRIPTED
    if (ofPartition(opened.generations, partition) === order.generation) {
      const reply = await sendRevoke(redis, opened, order)
      return reply.status === "ahead" ? await askAfter().catch(() => reply) : reply
    }
    // The slot went with its generation.
    return { status: (await past.takeBack(order).catch(() => false)) ? "slot_closed" : "fenced" }
  }

  /**
   * Redis went back: it has not the batches before the one that is revoked, and so not that one, which can
   * never run there either. Barred, where it has all that this process has seen; else the keeper hears of
   * the loss, and the batch is settled in the next generation.
   */
  async function askAfter(): Promise<ScriptReply> {
    const opened = await openings.reload()
    const nextOpening = ofPartition(opened.openings, partition)
    const isSame = ofPartition(opened.generations, partition) === place.generation
    if (isSame && nextOpening === opening) await past.doubt({ partition, opening })
    if (!isSame || nextOpening === opening || nextOpening === 0) return AHEAD
    await tellSeen(nextOpening)
    const trial = { ...place, slot: randomChars(12) }
    const { status } = await sendOpenSlot(redis, opened, { ...trial, seen })
    if (status === "ahead") await tellDiverged()
    if (status !== "opened") return AHEAD
    await sendCloseSlot(redis, opened, { ...trial, settled: 0 })
    return { status: "barred" }
  }

  async function close(): Promise<boolean> {
    const opened = openings.current()
    if (place.slot === "") return true
    if (opened === null) return false
    return (await sendCloseSlot(redis, opened, { ...place, settled: last })).status === "closed"
  }
}
