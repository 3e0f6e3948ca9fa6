import { inTime } from "../deadline.ts"
import { type AccountId, partitionOf } from "../ids.ts"
import { HEALTH_READ_MS, READ_DEADLINE_MS, UNFLUSHED_RECORDS_MAX } from "../limits.ts"
import type { Batcher } from "./batcher.ts"
import type { RedisNodes } from "./cluster.ts"
import { accountKey, metaKey } from "./keys.ts"
import { readMeta } from "./meta.ts"
import type { Openings } from "./opening.ts"
import { type AccountState, decodeAccount, decodeMeta } from "./states.ts"

export type ReadOutcome =
  /** With the version of the service keys at the same moment. */
  | { status: "found"; account: AccountState; servicesVersion: number }
  | { status: "unknown" }
  | { status: "unavailable" }

/** `isPartial`: some partition can be charged. */
export type Health =
  | { status: "ready" }
  | { status: "unavailable"; reasons: string[]; isPartial: boolean }

export async function readAccount(
  redis: RedisNodes,
  openings: Openings,
  accountId: AccountId,
): Promise<ReadOutcome> {
  const opened = openings.current()
  if (opened === null) return { status: "unavailable" }
  const partition = partitionOf(accountId, opened.partitions)
  const generation = opened.generations[partition] ?? 0
  const key = accountKey(partition, generation, accountId)
  const asked = redis.of(partition).mgetBuffer(metaKey(partition), key)
  const nothing = [null, null]
  const [meta, state] = await inTime(
    asked.catch(() => nothing),
    { timeoutMs: READ_DEADLINE_MS, late: nothing },
  )
  if (!meta) return { status: "unavailable" }
  const { generation: current, services } = decodeMeta(meta)
  if (current !== generation) return { status: "unavailable" }
  if (!state) return { status: "unknown" }
  return { status: "found", account: decodeAccount(state), servicesVersion: services }
}

export async function readHealth(
  redis: RedisNodes,
  {
    openings,
    batchers,
    isConnected,
    isMemoryShort,
  }: {
    openings: Openings
    batchers: readonly Batcher[]
    /** Whether the connection is there on which charges are sent. */
    isConnected(partition: number): boolean
    isMemoryShort(partition: number): boolean
  },
): Promise<Health> {
  const all = await Promise.all(
    batchers.map(async (batcher, partition) => {
      const reasons: string[] = []
      if (!isConnected(partition)) reasons.push("Redis cannot be reached")
      if (isMemoryShort(partition)) reasons.push("Redis is short of memory")
      const state = batcher.state()
      if (state !== "open") reasons.push(`partition ${partition} is ${state}`)
      else if (!batcher.isCurrent()) reasons.push(`partition ${partition} is to be opened anew`)
      return reasons.length > 0 ? reasons : await reasonsInRedis(redis, { openings, partition })
    }),
  )
  const reasons = [...new Set(all.flat())]
  if (reasons.length === 0) return { status: "ready" }
  return { status: "unavailable", reasons, isPartial: all.some((each) => each.length === 0) }
}

async function reasonsInRedis(
  redis: RedisNodes,
  { openings, partition }: { openings: Openings; partition: number },
): Promise<string[]> {
  const asked = readMeta(redis, partition).catch(() => null)
  const meta = await inTime(asked, { timeoutMs: HEALTH_READ_MS, late: null })
  const reasons: string[] = []
  if (meta === null) reasons.push(`partition ${partition} cannot be read from Redis`)
  else if (meta.generation !== openings.current()?.generations[partition]) {
    reasons.push(`partition ${partition} is fenced: Redis has generation ${meta.generation}`)
  } else if (meta.written - meta.flushed >= UNFLUSHED_RECORDS_MAX) {
    reasons.push(`partition ${partition}: Postgres is too far behind`)
  }
  return reasons
}
