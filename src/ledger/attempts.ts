import { randomChars } from "../ids.ts"
import { IDEMPOTENCY_TTL_MS, UNFLUSHED_RECORDS_MAX } from "../limits.ts"
import type { Batch } from "./batch.ts"
import type { RedisNodes } from "./cluster.ts"
import { holdsKey, keyPrefix, memoKey, metaKey, reversedKey, streamKey } from "./keys.ts"
import { type OpenedLedger, ofPartition } from "./opening.ts"
import type { Seen } from "./outcomes.ts"
import { runScript, runScriptReplicated, type ScriptReply, type Wait } from "./run-script.ts"

/** One attempt each of the scripts of a slot: what they are called with, and nothing else. */

/** What the state of Redis asks of every batch. */
export type Pressure = { wait: Wait; isMemoryShort(partition: number): boolean }

export type SlotPlace = { partition: number; generation: number; slot: string }

/** A batch under its number, as the script takes it: what is sent, and what a revoke needs later. */
export type NumberedBatch = SlotPlace & {
  number: number
  accounts: readonly string[]
  others: readonly string[]
  items: Buffer
  /** Records that were written before it was sent, as far as its process knows. */
  afterRecords: number
}

export function sendBatch(
  redis: RedisNodes,
  opened: OpenedLedger,
  {
    batch,
    place,
    number,
    entryId,
    pressure,
  }: {
    batch: Batch
    place: SlotPlace
    number: number
    entryId: string
    pressure: Pressure
  },
): Promise<ScriptReply> {
  const { partition, generation, slot } = place
  const keys = [
    metaKey(partition),
    streamKey(partition, generation),
    memoKey(partition, generation, slot),
  ]
  const prefix = keyPrefix(partition, generation)
  const accounts = pushAll(keys, `${prefix}a:`, batch.accounts())
  if (pushAll(keys, prefix, batch.others()) > 0) keys.push(holdsKey(partition, generation))
  return runScriptReplicated(redis.of(partition), ofPartition(opened.scripts, partition).decide, {
    wait: pressure.wait,
    keys,
    args: [
      String(generation),
      String(opened.partitions),
      pressure.isMemoryShort(partition) ? "0" : String(UNFLUSHED_RECORDS_MAX),
      slot,
      String(number),
      entryId,
      batch.items(),
      String(accounts),
      String(IDEMPOTENCY_TTL_MS),
    ],
  })
}

export function sendRevoke(
  redis: RedisNodes,
  opened: OpenedLedger,
  order: NumberedBatch,
): Promise<ScriptReply> {
  const { partition, generation, slot, number, items } = order
  const keys = [
    metaKey(partition),
    streamKey(partition, generation),
    memoKey(partition, generation, slot),
    reversedKey(partition, generation),
  ]
  const prefix = keyPrefix(partition, generation)
  const accounts = pushAll(keys, `${prefix}a:`, order.accounts)
  if (pushAll(keys, prefix, order.others) > 0) keys.push(holdsKey(partition, generation))
  return runScript(redis.of(partition), ofPartition(opened.scripts, partition).revoke, {
    keys,
    args: [
      String(generation),
      String(opened.partitions),
      slot,
      String(number),
      randomChars(8),
      items,
      String(accounts),
    ],
  })
}

/** `seen`: the highest entry of this generation that the process knows; null: none. */
export function sendOpenSlot(
  redis: RedisNodes,
  opened: OpenedLedger,
  { partition, generation, slot, seen }: SlotPlace & { seen: Seen | null },
): Promise<ScriptReply> {
  return runScript(redis.of(partition), ofPartition(opened.scripts, partition).openSlot, {
    keys: [
      metaKey(partition),
      memoKey(partition, generation, slot),
      streamKey(partition, generation),
    ],
    args: [
      String(generation),
      String(opened.partitions),
      String(seen?.entryNumber ?? 0),
      seen?.entryId ?? "",
    ],
  })
}

/** `settled`: the number of the slot's last batch; null where its process has ended. */
export function sendCloseSlot(
  redis: RedisNodes,
  opened: OpenedLedger,
  { partition, generation, slot, settled }: SlotPlace & { settled: number | null },
): Promise<ScriptReply> {
  return runScript(redis.of(partition), ofPartition(opened.scripts, partition).closeSlot, {
    keys: [memoKey(partition, generation, slot)],
    args: [settled === null ? "" : String(settled)],
  })
}

function pushAll(keys: string[], prefix: string, names: Iterable<string>): number {
  const before = keys.length
  for (const name of names) keys.push(prefix + name)
  return keys.length - before
}
