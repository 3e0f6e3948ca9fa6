import type { Watermark } from "../../db/queries/read-watermarks.ts"
import { claimKey, streamKey } from "../ledger/keys.ts"
import { readMeta } from "../ledger/meta.ts"
import { isCompared } from "../ledger/server.ts"
import type { Meta } from "../ledger/states.ts"
import { readPlace } from "./places.ts"
import type { Stores } from "./stores.ts"

/** An entry of a stream, by its number and the random id that names it. */
export type EntryName = { entryNumber: number; entryId: string }

/** What the stores have of a partition. */
export type Found = {
  watermark: Watermark
  /** Before the watermark was read: what Postgres had told Redis by then. */
  before: Meta | null
  /** And after it. */
  meta: Meta | null
  /** The highest generation that anybody has begun to build here; 0: none. */
  claim: number
  /** Whether this very server of Postgres has had all that Redis had. */
  isCompared: boolean
  /** Of the stream of Postgres's generation: the entry at the watermark, and the last. Null: not there. */
  atWatermark: EntryName | null
  last: EntryName | null
}

/**
 * What has become of a partition:
 * INTACT         Redis has all that Postgres has, and what follows it.
 * NEW            there was never anything in it.
 * LOST           Redis does not have what it had: it is built anew from Postgres.
 * POSTGRES_BACK  Postgres does not have what it had told Redis: it was restored, and Redis is never
 *                built from it.
 */
export type Verdict =
  | { status: "intact"; meta: Meta }
  | { status: "new" }
  | { status: "lost"; reason: string }
  | { status: "postgres_back"; reason: string; meta: Meta }

/**
 * Charges and flushes may go on meanwhile: what is compared with the watermark is read from Redis before
 * it where it must not be higher, and after it where it must not be lower.
 */
export async function examine({ redis, sql }: Stores, partition: number): Promise<Found> {
  const before = await readMeta(redis, partition)
  const watermark = await readPlace(sql, partition)
  const { generation, entryNumber } = watermark
  const stream = streamKey(partition, generation)
  const meta = await readMeta(redis, partition)
  const at = `${generation}-${entryNumber}`
  const [atWatermark] = await redis.of(partition).xrange(stream, at, at)
  const [last] = await redis.of(partition).xrevrange(stream, "+", "-", "COUNT", 1)
  const claim = await redis.of(partition).getBuffer(claimKey(partition))
  return {
    ...{ watermark, before, meta },
    claim: claim === null ? 0 : claim.readUInt32LE(0),
    isCompared: await isCompared(redis, watermark),
    atWatermark: nameOf(atWatermark),
    last: nameOf(last),
  }
}

function nameOf(entry: [string, string[]] | undefined): EntryName | null {
  if (entry === undefined) return null
  const [position, fields] = entry
  return {
    entryNumber: Number(position.slice(position.indexOf("-") + 1)),
    entryId: fields[fields.indexOf("id") + 1] ?? "",
  }
}

export function judge(found: Found): Verdict {
  const { watermark, meta } = found
  const { generation, isOpen } = watermark
  if (meta !== null && meta.generation > generation) {
    const reason = `Redis runs generation ${meta.generation}, and Postgres knows of ${generation}`
    return { status: "postgres_back", reason, meta }
  }
  if (meta !== null && meta.generation === generation) return judgeGeneration(found, meta)
  if (!isOpen && meta === null) return { status: "new" }
  const has = meta === null ? "nothing" : `generation ${meta.generation}`
  return { status: "lost", reason: `Postgres has generation ${generation}, and Redis has ${has}` }
}

function judgeGeneration({ watermark, before, atWatermark, last }: Found, meta: Meta): Verdict {
  const { generation, entryNumber, entryId } = watermark
  const toldEntry = before?.generation === generation ? before.entryFlushed : 0
  if (toldEntry > entryNumber) {
    const reason = `Postgres had told Redis that it has entry ${toldEntry} of generation ${generation}, and has ${entryNumber}`
    return { status: "postgres_back", reason, meta }
  }
  // The stream must have the very entry that Postgres committed last.
  if (meta.entryNumber < entryNumber || atWatermark?.entryId !== entryId) {
    const reason = `Postgres has entry ${entryNumber} of generation ${generation}, and Redis has ${meta.entryNumber} of it`
    return { status: "lost", reason }
  }
  const isEnd = last?.entryNumber === meta.entryNumber && last.entryId === meta.entryId
  if (!isEnd && (last === null || last.entryNumber <= meta.entryNumber)) {
    const reason = `the stream of generation ${generation} does not end where Redis says, at entry ${meta.entryNumber}`
    return { status: "lost", reason }
  }
  return { status: "intact", meta }
}
