import type { Redis } from "ioredis"
import { MEMORY_SHARE_ENOUGH, MEMORY_SHARE_SHORT, REDIS_POLL_MS } from "../limits.ts"
import { startTicker } from "../ticker.ts"
import type { Batcher } from "./batcher.ts"
import type { RedisNodes } from "./cluster.ts"
import { readMeta } from "./meta.ts"
import { type Openings, ofPartition } from "./opening.ts"

export type RedisWatch = {
  /** Whether the partition's node comes near its `maxmemory`. */
  isMemoryShort(partition: number): boolean
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
  redis: RedisNodes
  openings: Openings
  log(message: string): void
}): RedisWatch {
  const short = new Set<Redis>()
  let followed: readonly Batcher[] = []
  const ticker = startTicker({
    intervalMs: REDIS_POLL_MS,
    async work() {
      await Promise.all(
        followed.map(async (batcher, partition) => {
          if (batcher.state() !== "open") return
          const isOver = !batcher.isCurrent() || (await isOpenedAnew(partition).catch(() => false))
          if (isOver) batcher.renew()
        }),
      )
      await Promise.all(redis.all().map(lookAtMemory))
    },
    // A Redis that does not answer decides nothing anyway.
    onError: () => undefined,
  })
  return {
    isMemoryShort: (partition) => short.has(redis.of(partition)),
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
    const found = await redis.of(partition).script("EXISTS", decide)
    return Array.isArray(found) && Number(found[0]) === 0
  }

  async function lookAtMemory(node: Redis): Promise<void> {
    const share = shareOf(await node.info("memory"))
    const wasShort = short.has(node)
    const isShort = share >= (wasShort ? MEMORY_SHARE_ENOUGH : MEMORY_SHARE_SHORT)
    if (isShort === wasShort) return
    if (isShort) short.add(node)
    else short.delete(node)
    const percent = Math.floor(100 * share)
    const name = `Redis ${node.options.host}:${node.options.port}`
    if (isShort) log(`ALARM ${name} uses ${percent} % of its maxmemory: charges are refused`)
    else log(`${name} uses ${percent} % of its maxmemory: charges go on`)
  }
}

function shareOf(info: string): number {
  const value = (field: string) => Number(new RegExp(`^${field}:(\\d+)`, "m").exec(info)?.[1] ?? 0)
  const maxmemory = value("maxmemory")
  return maxmemory === 0 ? 0 : value("used_memory") / maxmemory
}
