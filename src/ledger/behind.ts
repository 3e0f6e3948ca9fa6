import type { Sql } from "../../db/connection.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import type { RedisNodes } from "./cluster.ts"
import { readMeta } from "./meta.ts"
import type { Openings } from "./opening.ts"

/**
 * Whether Postgres lacks what it had once told Redis: it was restored to an earlier moment. What is
 * instructed then may get a number that was given before. `unknown`: Redis cannot be asked.
 */
export async function isRecordBehind({
  redis,
  sql,
  openings,
}: {
  redis: RedisNodes
  sql: Sql
  openings: Openings
}): Promise<"behind" | "level" | "unknown"> {
  const { partitions } = openings.current() ?? (await openings.reload())
  // Before the watermarks: a flush in between only raises these.
  const metas = await Promise.all(
    Array.from({ length: partitions }, (_, partition) =>
      readMeta(redis, partition).catch(() => undefined),
    ),
  )
  let isKnown = true
  for (const watermark of await readWatermarks(sql)) {
    if (watermark.isRefilling) return "behind"
    const meta = metas[watermark.partition]
    if (meta === undefined) isKnown = false
    if (!meta) continue
    if (meta.generation > watermark.generation) return "behind"
    const isSame = meta.generation === watermark.generation
    if (isSame && meta.entryFlushed > watermark.entryNumber) return "behind"
  }
  return isKnown ? "level" : "unknown"
}
