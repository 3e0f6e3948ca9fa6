import { APPLY_DEADLINE_MS, SETTLE_RETRY_MS } from "../limits.ts"
import type { RedisNodes } from "./cluster.ts"
import { metaKey } from "./keys.ts"
import { type Openings, ofPartition } from "./opening.ts"
import { runScript } from "./run-script.ts"

type Deps = { redis: RedisNodes; openings: Openings }

/**
 * Tells every partition the version of the service keys: those verified under an earlier one are
 * dead from then on. An attempt whose outcome is unknown is repeated: a version that is not higher
 * changes nothing. False where a partition did not take it within APPLY_DEADLINE_MS.
 */
export async function raiseServices(deps: Deps, version: number): Promise<boolean> {
  const deadlineAt = performance.now() + APPLY_DEADLINE_MS
  for (;;) {
    if (await raiseEverywhere(deps, version)) return true
    if (performance.now() >= deadlineAt) return false
    await deps.openings.reload().catch(() => null)
    await Bun.sleep(SETTLE_RETRY_MS)
  }
}

async function raiseEverywhere({ redis, openings }: Deps, version: number): Promise<boolean> {
  const opened = openings.current() ?? (await openings.reload().catch(() => null))
  if (opened === null) return false
  const replies = await Promise.all(
    opened.generations.map((generation, partition) =>
      runScript(redis.of(partition), ofPartition(opened.scripts, partition).raiseServices, {
        keys: [metaKey(partition)],
        args: [String(generation), String(opened.partitions), String(version)],
      }),
    ),
  )
  return replies.every(({ status }) => status === "raised")
}
