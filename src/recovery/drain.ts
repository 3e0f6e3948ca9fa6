import { addIncident } from "../../db/queries/add-incident.ts"
import { ensureMonth } from "../../db/queries/ensure-month.ts"
import { flushBatch } from "../../db/queries/flush-batch.ts"
import { loadChainKeys } from "../../db/queries/load-chain-keys.ts"
import type { Watermark } from "../../db/queries/read-watermarks.ts"
import { createChainKeys } from "../flusher/chain-keys.ts"
import { composeFlush } from "../flusher/compose.ts"
import { createMonths } from "../flusher/months.ts"
import { BrokenStream, readEntries, type StreamPlace } from "../flusher/read-entries.ts"
import { readPlace } from "./places.ts"
import type { Log, Stores } from "./stores.ts"

/**
 * Writes to Postgres what Redis still has of a generation after the watermark, as far as `through`: to
 * its end where nothing is appended to it any more. A flusher that does the same meanwhile does no harm,
 * because each flush compares the watermark. Answers the watermark that it came to. What does not follow
 * the watermark is not taken: it stands in `incidents`.
 */
export async function drain(
  { redis, sql }: Stores,
  {
    partition,
    generation,
    through = Number.POSITIVE_INFINITY,
  }: Pick<Watermark, "partition" | "generation"> & { through?: number },
  log: Log,
): Promise<StreamPlace> {
  const chainKeys = createChainKeys((accountIds) => loadChainKeys(sql, accountIds))
  const months = createMonths((atMs) => ensureMonth(sql, atMs))
  for (;;) {
    const place = await readPlace(sql, partition)
    if (place.generation !== generation || place.entryNumber >= through) return place
    const entries = await readEntries(redis, place).catch(async (error: unknown) => {
      if (!(error instanceof BrokenStream)) throw error
      const { message: detail } = error
      log(`ALARM partition ${partition}: what follows is not taken: ${detail}`)
      await addIncident(sql, {
        ...{ partition, generation, kind: "stream_diverged", detail, records: null },
        ...{ fromEntry: place.entryNumber + 1, throughEntry: null },
      })
      return []
    })
    if (entries.length === 0) return place
    await months.ensure(entries)
    await flushBatch(sql, composeFlush(place, entries, await chainKeys.of(entries)))
  }
}
