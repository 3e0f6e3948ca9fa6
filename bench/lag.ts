import type { Redis } from "ioredis"
import { metaKey, streamKey } from "../src/ledger/keys.ts"
import { decodeMeta } from "../src/ledger/records.ts"

/** How far Postgres is behind Redis: records it does not have, and the age of the oldest. */
export type Lag = { records: number; seconds: number }

/** Read from Redis itself: the benchmark has one partition. */
export async function readLag(redis: Redis): Promise<Lag> {
  const bytes = await redis.getBuffer(metaKey(0))
  if (bytes === null) throw new Error("the ledger is not open")
  const meta = decodeMeta(bytes)
  const records = meta.written - meta.flushed
  if (records === 0) return { records, seconds: 0 }
  const next = `${meta.generation}-${meta.entryFlushed + 1}`
  const [entry] = await redis.xrange(streamKey(0, meta.generation), next, next)
  const atMs = Number(entry?.[1][entry[1].indexOf("at") + 1] ?? meta.clockMs)
  return { records, seconds: Math.max(0, Date.now() - atMs) / 1_000 }
}

/** Resolves with the time that it took until Postgres had everything. */
export async function drained(redis: Redis): Promise<number> {
  const startedAt = performance.now()
  while ((await readLag(redis)).records > 0) await Bun.sleep(10)
  return performance.now() - startedAt
}
