import type { Redis } from "ioredis"
import { randomChars } from "../ids.ts"
import {
  generationOf,
  type NumberedBatch,
  type SlotPlace,
  sendBatch,
  sendCloseSlot,
  sendOpenSlot,
  sendRevoke,
} from "./attempts.ts"
import type { Batch } from "./batch.ts"
import type { Openings } from "./opening.ts"
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
  number(batch: Batch): Numbered
  settled(number: number): void
  /**
   * Takes a new slot under a new name, so that a batch of the one before that is still on its way
   * finds none. False where Redis or Postgres does not give it now.
   */
  open(exceptOpening: number | null): Promise<boolean>
  send(call: Numbered): Promise<ScriptReply>
  /** What a revoke of this batch needs, also in another process. */
  orderOf(call: Numbered): NumberedBatch
  revoke(order: NumberedBatch): Promise<ScriptReply>
  /** False where the last batch of the slot is not settled: then it is left as it is. */
  close(): Promise<boolean>
}

type Deps = { redis: Redis; openings: Openings; partition: number; revokeFile: RevokeFile }

const UNSCRIPTED = { status: "unscripted" } as const

export function createSlot({ redis, openings, partition, revokeFile }: Deps): Slot {
  let place: SlotPlace = { partition, generation: 0, slot: "" }
  let last = 0
  return {
    generation: () => place.generation,
    number: (batch) => ({ batch, number: last + 1, entryId: randomChars(8) }),
    settled: (number) => {
      last = number
    },
    open,
    send,
    orderOf,
    revoke,
    close,
  }

  async function open(exceptOpening: number | null): Promise<boolean> {
    const opened = await openings.reload().catch(() => null)
    if (opened === null || opened.opening === exceptOpening) return false
    const next = { partition, generation: generationOf(opened, partition), slot: randomChars(12) }
    const reply = await sendOpenSlot(redis, opened, next)
    if (reply.status !== "opened") return false
    await revokeFile.open(next)
    // Nothing of the slot before is under way; what never arrived finds no slot.
    if (place.generation === next.generation) {
      await sendCloseSlot(redis, opened, { ...place, settled: last })
    }
    place = next
    last = 0
    return true
  }

  function send({ batch, number, entryId }: Numbered): Promise<ScriptReply> {
    const opened = openings.current()
    if (opened === null) return Promise.resolve(UNSCRIPTED)
    return sendBatch(redis, opened, { batch, place, number, entryId })
  }

  function orderOf({ batch, number }: Numbered): NumberedBatch {
    const [accounts, others] = [[...batch.accounts()], [...batch.others()]]
    return { ...place, number, accounts, others, items: batch.items() }
  }

  function revoke(order: NumberedBatch): Promise<ScriptReply> {
    const opened = openings.current()
    return opened === null ? Promise.resolve(UNSCRIPTED) : sendRevoke(redis, opened, order)
  }

  async function close(): Promise<boolean> {
    const opened = openings.current()
    if (place.slot === "") return true
    if (opened === null) return false
    return (await sendCloseSlot(redis, opened, { ...place, settled: last })).status === "closed"
  }
}
