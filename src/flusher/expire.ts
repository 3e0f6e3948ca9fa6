import type { Redis } from "ioredis"
import type { Sql } from "../../db/connection.ts"
import { readClock } from "../../db/queries/read-clock.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { createExpirer } from "../ledger/expiry.ts"
import type { Openings } from "../ledger/opening.ts"
import { createPast } from "../ledger/over.ts"
import { CLOCKS_APART_MS_MAX, EXPIRIES_PER_SWEEP_MAX } from "../limits.ts"

type Expirer = ReturnType<typeof createExpirer>

type Deps = {
  redis: RedisNodes
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
  const past = createPast({ redis, sql, openings })
  const expirers = Array.from({ length: partitions }, (_, partition) =>
    createExpirer({ redis, openings, past, partition, log }),
  )
  let areApart = false
  return { sweep, stop }

  async function sweep(): Promise<void> {
    const [times, postgresMs] = await Promise.all([readTimes(), readClock(sql)])
    const apartMs = Math.max(0, ...times.map(({ redisMs }) => Math.abs(redisMs - postgresMs)))
    if (apartMs > CLOCKS_APART_MS_MAX) {
      if (!areApart) log(`ALARM the clocks of Redis and Postgres are ${apartMs} ms apart`)
      areApart = true
      return
    }
    if (areApart) log("the clocks of Redis and Postgres agree again")
    areApart = false
    for (const { expirer, redisMs } of times) {
      while ((await expirer.sweep(redisMs)) === EXPIRIES_PER_SWEEP_MAX);
    }
  }

  /** Of the partitions whose node can be asked: the holds of the others wait. */
  async function readTimes(): Promise<{ expirer: Expirer; redisMs: number }[]> {
    const asked = expirers.map(async (expirer, partition) => {
      return { expirer, redisMs: await readTime(redis.of(partition)) }
    })
    const times = (await Promise.allSettled(asked)).flatMap((time) =>
      time.status === "fulfilled" ? [time.value] : [],
    )
    if (times.length === 0) await Promise.all(asked)
    return times
  }

  async function stop(): Promise<void> {
    await Promise.all(expirers.map((expirer) => expirer.stop()))
  }
}

async function readTime(node: Redis): Promise<number> {
  const [seconds, micros] = await node.time()
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
}
