import type { Redis } from "ioredis"
import { MEMORY_SHARE_ENOUGH, MEMORY_SHARE_SHORT, REDIS_POLL_MS } from "../limits.ts"
import { startTicker } from "../ticker.ts"
import type { Batcher } from "./batcher.ts"
import { readMeta } from "./meta.ts"
import { type Openings, ofPartition } from "./opening.ts"

export type RedisWatch = {
  /** Whether Redis comes near its `maxmemory`. */
  isMemoryShort(): boolean
  /** Whose slots are renewed where Redis was opened anew. */
  follow(batchers: readonly Batcher[]): void
  stop(): Promise<void>
}

/**
 * Looks at Redis every REDIS_POLL_MS, so that a process to which nobody speaks knows as well.
 *
 * A partition in another generation, or a node without the scripts, was opened anew or waits for it: the
 * slot is renewed then, and the next call is not the one that finds out. So is one that has not been used
 * since another partition's heard of it: what it has seen is told then, and not when somebody calls.
 *
 * Memory: from MEMORY_SHARE_SHORT of `maxmemory` on, charges and holds are refused, until it is below
 * MEMORY_SHARE_ENOUGH again. Captures, voids and credits go on up to the second bound, where Redis
 * itself refuses to write; before either of them nothing is lost. Without `maxmemory` there is no bound.
 */
export function watchRedis({
  redis,
  openings,
  log,
}: {
  redis: Redis
  openings: Openings
  log(message: string): void
}): RedisWatch {
  let isShort = false
  let followed: readonly Batcher[] = []
  const ticker = startTicker({
    intervalMs: REDIS_POLL_MS,
    async work() {
      for (const [partition, batcher] of followed.entries()) {
        if (batcher.state() !== "open") continue
        if (!batcher.isCurrent() || (await isOpenedAnew(partition))) batcher.renew()
      }
      lookAtMemory(shareOf(await redis.info("memory")))
    },
    // A Redis that does not answer decides nothing anyway.
    onError: () => undefined,
  })
  return {
    isMemoryShort: () => isShort,
    follow(batchers) {
      followed = batchers
    },
    stop: ticker.stop,
  }

  async function isOpenedAnew(partition: number): Promise<boolean> {
    const opened = openings.current()
    if (opened === null) return false
    const meta = await readMeta(redis, partition)
    if (meta?.generation !== ofPartition(opened.generations, partition)) return true
    const { decide } = ofPartition(opened.scripts, partition)
    const found = await redis.script("EXISTS", decide)
    return Array.isArray(found) && Number(found[0]) === 0
  }

  function lookAtMemory(share: number): void {
    const wasShort = isShort
    isShort = share >= (wasShort ? MEMORY_SHARE_ENOUGH : MEMORY_SHARE_SHORT)
    if (isShort === wasShort) return
    const percent = Math.floor(100 * share)
    if (isShort) log(`ALARM Redis uses ${percent} % of its maxmemory: charges are refused`)
    else log(`Redis uses ${percent} % of its maxmemory: charges go on`)
  }
}

function shareOf(info: string): number {
  const value = (field: string) => Number(new RegExp(`^${field}:(\\d+)`, "m").exec(info)?.[1] ?? 0)
  const maxmemory = value("maxmemory")
  return maxmemory === 0 ? 0 : value("used_memory") / maxmemory
}
