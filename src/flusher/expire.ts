import type { Redis } from "ioredis"
import type { Sql } from "../../db/connection.ts"
import { readClock } from "../../db/queries/read-clock.ts"
import { createExpirer } from "../ledger/expiry.ts"
import type { Openings } from "../ledger/opening.ts"
import { CLOCKS_APART_MS_MAX, EXPIRIES_PER_SWEEP_MAX } from "../limits.ts"

type Deps = {
  redis: Redis
  sql: Sql
  openings: Openings
  partitions: number
  log(message: string): void
}

/**
 * Sweeps the holds of all partitions. While the clocks of Redis and Postgres are more than
 * CLOCKS_APART_MS_MAX apart, one of them is wrong, and nothing expires (DESIGN section 4, "Time").
 */
export function createExpiry({ redis, sql, openings, partitions, log }: Deps) {
  const expirers = Array.from({ length: partitions }, (_, partition) =>
    createExpirer({ redis, openings, partition, log }),
  )
  let areApart = false
  return { sweep, stop }

  async function sweep(): Promise<void> {
    const [redisMs, postgresMs] = await Promise.all([readTime(redis), readClock(sql)])
    const apartMs = Math.abs(redisMs - postgresMs)
    if (apartMs > CLOCKS_APART_MS_MAX) {
      if (!areApart) log(`ALARM the clocks of Redis and Postgres are ${apartMs} ms apart`)
      areApart = true
      return
    }
    if (areApart) log("the clocks of Redis and Postgres agree again")
    areApart = false
    for (const expirer of expirers) {
      while ((await expirer.sweep(redisMs)) === EXPIRIES_PER_SWEEP_MAX);
    }
  }

  async function stop(): Promise<void> {
    await Promise.all(expirers.map((expirer) => expirer.stop()))
  }
}

async function readTime(redis: Redis): Promise<number> {
  const [seconds, micros] = await redis.time()
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
}
