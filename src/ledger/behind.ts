import type { Sql } from "../../db/connection.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import type { RedisNodes } from "./cluster.ts"
import { serverKey } from "./keys.ts"
import { readMeta } from "./meta.ts"
import type { Openings } from "./opening.ts"

/**
 * Whether Postgres lacks what Redis has, or may: it was restored to an earlier moment, or is another server
 * than the one that was compared last. What is instructed then may get a number that was given before.
 * `unknown`: Redis cannot be asked.
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
  const all = Array.from({ length: partitions }, (_, partition) => partition)
  const found = await Promise.all(
    all.map(async (partition) => {
      const [meta, server] = await Promise.all([
        readMeta(redis, partition),
        redis.of(partition).get(serverKey(partition)),
      ]).catch(() => [undefined, null])
      return { meta, server }
    }),
  )
  let isKnown = true
  for (const watermark of await readWatermarks(sql)) {
    if (watermark.isRefilling) return "behind"
    const { meta, server } = found[watermark.partition] ?? {}
    if (meta === undefined) isKnown = false
    if (!meta) continue
    if (server !== watermark.server) return "behind"
    if (meta.generation > watermark.generation) return "behind"
    const isSame = meta.generation === watermark.generation
    if (isSame && meta.entryFlushed > watermark.entryNumber) return "behind"
  }
  return isKnown ? "level" : "unknown"
}
