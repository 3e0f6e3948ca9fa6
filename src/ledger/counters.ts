import type { KeySpending } from "../../db/queries/read-key-spending.ts"
import { type AccountId, partitionOf } from "../ids.ts"
import { SEED_DEADLINE_MS, SEED_POLL_MS } from "../limits.ts"
import type { RedisNodes } from "./cluster.ts"
import type { KeyLimits } from "./items.ts"
import { counterKey, metaKey } from "./keys.ts"
import { type OpenedLedger, type Openings, ofPartition } from "./opening.ts"
import { runScript } from "./run-script.ts"

type Deps = {
  redis: RedisNodes
  openings: Openings
  /** What Postgres has of a key's spending. Rejects where it is away. */
  readSpending(key: {
    accountId: AccountId
    keyId: string
    limitsVersion: number
  }): Promise<KeySpending>
}

/**
 * Budgets count from a key's first charge on, but a key without limits has no counter. So where
 * limits stand and the counter is missing, the script refuses, and the sum comes from Postgres: as
 * soon as that has every charge from before (the flusher writes in order), it is exact.
 */
export function createCounters({ redis, openings, readSpending }: Deps) {
  return async function seedCounter(
    accountId: AccountId,
    { keyId, version }: KeyLimits,
  ): Promise<"seeded" | "unavailable"> {
    const deadlineAt = performance.now() + SEED_DEADLINE_MS
    while (performance.now() < deadlineAt) {
      const spending = await readSpending({ accountId, keyId, limitsVersion: version })
      const opened = openings.current()
      if (opened === null) return "unavailable"
      if (spending.isFlushed) {
        return seed(redis, opened, { accountId, keyId, version, spending })
      }
      await Bun.sleep(SEED_POLL_MS)
    }
    return "unavailable"
  }
}

async function seed(
  redis: RedisNodes,
  opened: OpenedLedger,
  counter: { accountId: AccountId; keyId: string; version: number; spending: KeySpending },
): Promise<"seeded" | "unavailable"> {
  const { accountId, keyId, version, spending } = counter
  const { day, dayFen, month, monthFen, totalFen } = spending
  const partition = partitionOf(accountId, opened.partitions)
  const generation = ofPartition(opened.generations, partition)
  const { status } = await runScript(
    redis.of(partition),
    ofPartition(opened.scripts, partition).seedCounter,
    {
      keys: [metaKey(partition), counterKey(partition, generation, keyId)],
      args: [
        String(generation),
        String(opened.partitions),
        String(version),
        String(day),
        dayFen,
        String(month),
        monthFen,
        totalFen,
      ],
    },
  )
  return status === "seeded" ? "seeded" : "unavailable"
}
