import type { RedisNodes } from "./cluster.ts"
import { serverKey } from "./keys.ts"

/** A server of Postgres, and the partition that it is compared for: see `Watermark.server`. */
type Compared = { partition: number; server: string }

/** Whether this very server of Postgres was brought to the end of what Redis has of a partition. */
export async function isCompared(redis: RedisNodes, { partition, server }: Compared) {
  return (await redis.of(partition).get(serverKey(partition))) === server
}

export async function noteCompared(redis: RedisNodes, { partition, server }: Compared) {
  await redis.of(partition).set(serverKey(partition), server)
}
