import type { Redis } from "ioredis"
import type { Watermark } from "../../db/queries/read-watermarks.ts"
import { claimKey, streamKey } from "../ledger/keys.ts"
import { readMeta } from "../ledger/meta.ts"
import type { Meta } from "../ledger/states.ts"

/** An entry of a stream, by its number and the random id that names it. */
export type EntryName = { entryNumber: number; entryId: string }

/** What Redis has of a partition. */
export type Found = {
  meta: Meta | null
  /** The highest generation that anybody has begun to build here; 0: none. */
  claim: number
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
 *                built from it. `isReached`: the stream still has all that Postgres lacks.
 */
export type Verdict =
  | { status: "intact"; meta: Meta }
  | { status: "new" }
  | { status: "lost"; reason: string }
  | { status: "postgres_back"; reason: string; isReached: boolean }

/** Of one moment in Redis. Read before the watermark, so that a flush in between does no harm. */
export async function findInRedis(
  redis: Redis,
  {
    partition,
    generation,
    entryNumber,
  }: Pick<Watermark, "partition" | "generation" | "entryNumber">,
): Promise<Found> {
  const stream = streamKey(partition, generation)
  const at = `${generation}-${entryNumber}`
  const [claim, [atWatermark], [last]] = await Promise.all([
    redis.getBuffer(claimKey(partition)),
    redis.xrange(stream, at, at),
    redis.xrevrange(stream, "+", "-", "COUNT", 1),
  ])
  return {
    meta: await readMeta(redis, partition),
    claim: claim === null ? 0 : claim.readUInt32LE(0),
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

export function judge(watermark: Watermark, found: Found): Verdict {
  const { generation, isOpen } = watermark
  const { meta } = found
  if (meta !== null && meta.generation > generation) {
    const reason = `Redis runs generation ${meta.generation}, and Postgres knows of ${generation}`
    return { status: "postgres_back", reason, isReached: isAtWatermark(watermark, found) }
  }
  if (meta !== null && meta.generation === generation)
    return judgeGeneration(watermark, found, meta)
  if (!isOpen && meta === null) return { status: "new" }
  const has = meta === null ? "nothing" : `generation ${meta.generation}`
  return { status: "lost", reason: `Postgres has generation ${generation}, and Redis has ${has}` }
}

function judgeGeneration(watermark: Watermark, found: Found, meta: Meta): Verdict {
  const { generation, entryNumber } = watermark
  const { last } = found
  const isReached = isAtWatermark(watermark, found)
  if (meta.entryFlushed > entryNumber) {
    const reason = `Postgres had told Redis that it has entry ${meta.entryFlushed} of generation ${generation}, and has ${entryNumber}`
    return { status: "postgres_back", reason, isReached }
  }
  if (meta.entryNumber < entryNumber || !isReached) {
    const reason = `Postgres has entry ${entryNumber} of generation ${generation}, and Redis has ${meta.entryNumber} of it`
    return { status: "lost", reason }
  }
  if (last?.entryNumber !== meta.entryNumber || last.entryId !== meta.entryId) {
    const reason = `the stream of generation ${generation} does not end where Redis says, at entry ${meta.entryNumber}`
    return { status: "lost", reason }
  }
  return { status: "intact", meta }
}

/** Whether the stream has the very entry that Postgres committed last. */
function isAtWatermark({ entryId }: Watermark, { atWatermark }: Found): boolean {
  return atWatermark !== null && atWatermark.entryId === entryId
}
