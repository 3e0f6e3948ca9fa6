import type { RedisNodes } from "../ledger/cluster.ts"
import { keyPrefix, streamKey } from "../ledger/keys.ts"
import { REBUILD_PAGE, TAIL_MS } from "../limits.ts"

/**
 * Removes what stands in Redis of generations that are over, or were never opened. The stream of the
 * one before stays as long as the tail: a Postgres that is restored to a moment before needs it.
 */
export async function removeGenerations(
  redis: RedisNodes,
  { partition, current, before }: { partition: number; current: number; before: number },
): Promise<void> {
  const kept = streamKey(partition, before)
  const pattern = `${keyPrefix(partition, 0).replace("0:", "[0-9]*:")}*`
  const node = redis.of(partition)
  let cursor = "0"
  do {
    const [next, names] = await node.scan(cursor, "MATCH", pattern, "COUNT", REBUILD_PAGE)
    const old = names.filter((name) => name !== kept && generationIn(name) < current)
    if (old.length > 0) await node.unlink(...old)
    cursor = next
  } while (cursor !== "0")
  await node.pexpire(kept, TAIL_MS)
}

/** A name that is not of a generation is above all of them. */
function generationIn(name: string): number {
  const generation = Number(/^\{[^}]+\}:(\d+):/.exec(name)?.[1] ?? Number.NaN)
  return Number.isNaN(generation) ? Number.POSITIVE_INFINITY : generation
}
