import type { RedisNodes } from "./cluster.ts"
import { metaKey, streamKey } from "./keys.ts"
import { decodeMeta, type Meta } from "./states.ts"

/** Records that Postgres does not have yet, and the age of the oldest of them. */
export type Lag = { generation: number; records: number; seconds: number }

/** A partition's meta, or null where there is none. Rejects where Redis does not answer. */
export async function readMeta(redis: RedisNodes, partition: number): Promise<Meta | null> {
  const meta = await redis.of(partition).getBuffer(metaKey(partition))
  return meta === null ? null : decodeMeta(meta)
}

/** The random id of an entry; null where the stream does not have it. */
export async function readEntryId(
  redis: RedisNodes,
  place: { partition: number; generation: number; entryNumber: number },
): Promise<string | null> {
  const { partition, generation, entryNumber } = place
  const position = `${generation}-${entryNumber}`
  const [entry] = await redis
    .of(partition)
    .xrange(streamKey(partition, generation), position, position)
  return entry?.[1][entry[1].indexOf("id") + 1] ?? null
}

/** How far Postgres is behind, as the flusher has told meta. Null and rejections as in `readMeta`. */
export async function readLag(redis: RedisNodes, partition: number): Promise<Lag | null> {
  const meta = await readMeta(redis, partition)
  if (meta === null) return null
  const { generation, written, flushed, entryFlushed, entryNumber, clockMs } = meta
  const lag = { generation, records: written - flushed, seconds: 0 }
  if (entryFlushed === entryNumber) return lag
  const stream = streamKey(partition, generation)
  const [oldest] = await redis
    .of(partition)
    .xrange(stream, `(${generation}-${entryFlushed}`, "+", "COUNT", 1)
  const atMs = Number(oldest?.[1][oldest[1].indexOf("at") + 1])
  const nowMs = Math.max(Date.now(), clockMs)
  return { ...lag, seconds: Number.isFinite(atMs) ? Math.max(0, nowMs - atMs) / 1_000 : 0 }
}
