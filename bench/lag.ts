import type { Redis } from "ioredis"
import { oneNode } from "../src/ledger/cluster.ts"
import { type Lag as PartitionLag, readLag as readPartitionLag } from "../src/ledger/meta.ts"

export type Lag = Pick<PartitionLag, "records" | "seconds">

/** How far Postgres is behind Redis. The benchmark has one partition. */
export async function readLag(redis: Redis): Promise<Lag> {
  const lag = await readPartitionLag(oneNode(redis), 0)
  if (lag === null) throw new Error("the ledger is not open")
  return lag
}

/** Resolves with the time that it took until Postgres had everything. */
export async function drained(redis: Redis): Promise<number> {
  const startedAt = performance.now()
  while ((await readLag(redis)).records > 0) await Bun.sleep(10)
  return performance.now() - startedAt
}
