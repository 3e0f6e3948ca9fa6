import type { Sql } from "../../db/connection.ts"
import { readWatermarks, type Watermark } from "../../db/queries/read-watermarks.ts"
import type { RedisNodes } from "./cluster.ts"
import { readMeta } from "./meta.ts"
import type { Openings } from "./opening.ts"
import { isCompared } from "./server.ts"
import type { Meta } from "./states.ts"

/**
 * Whether Postgres lacks what Redis has, or may: it was restored to an earlier moment, or is another server
 * than the one that was compared last. What is instructed then may get a number that was given before.
 * `unknown`: Redis cannot be asked.
 */
export type RecordState = "behind" | "level" | "unknown"

/** Rejects where Postgres cannot be asked. */
export async function isRecordBehind({
  redis,
  sql,
  openings,
}: {
  redis: RedisNodes
  sql: Sql
  openings: Openings
}): Promise<RecordState> {
  const { partitions } = openings.current() ?? (await openings.reload())
  // Before the watermarks: a flush in between only raises these.
  const all = Array.from({ length: partitions }, (_, partition) => partition)
  const metas = await Promise.all(
    all.map((partition) => readMeta(redis, partition).catch(() => undefined)),
  )
  const watermarks = await readWatermarks(sql)
  const states = await Promise.all(
    watermarks.map((watermark) => judge(redis, watermark, metas[watermark.partition])),
  )
  return (
    states.find((state) => state === "behind") ??
    states.find((state) => state === "unknown") ??
    "level"
  )
}

/** `meta`: undefined where Redis did not tell it, null where there is none. */
async function judge(
  redis: RedisNodes,
  watermark: Watermark,
  meta: Meta | null | undefined,
): Promise<RecordState> {
  if (watermark.isRefilling) return "behind"
  if (meta === undefined) return "unknown"
  if (meta === null) return "level"
  if (meta.generation > watermark.generation) return "behind"
  const isSame = meta.generation === watermark.generation
  if (isSame && meta.entryFlushed > watermark.entryNumber) return "behind"
  try {
    return (await isCompared(redis, watermark)) ? "level" : "behind"
  } catch {
    return "unknown"
  }
}
