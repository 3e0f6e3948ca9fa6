import type { Redis } from "ioredis"
import type { RedisNodes } from "../ledger/cluster.ts"

/** What one node of Redis says of itself. */
export type RedisFacts = {
  node: string
  version: string
  role: string
  memoryBytes: number
  /** 0: no limit. */
  maxMemoryBytes: number
  evictionPolicy: string
  isAofEnabled: boolean
  isLastWriteOk: boolean
  /** Null where the user may not ask. */
  appendfsync: string | null
  replicas: number
}

export function describeRedis(redis: RedisNodes): Promise<RedisFacts[]> {
  return Promise.all(redis.all().map(describeNode))
}

async function describeNode(node: Redis): Promise<RedisFacts> {
  const info = await node.info()
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1] ?? ""
  return {
    node: `${node.options.host ?? ""}:${node.options.port ?? ""}`,
    version: field("redis_version"),
    role: field("role"),
    memoryBytes: Number(field("used_memory")),
    maxMemoryBytes: Number(field("maxmemory")),
    evictionPolicy: field("maxmemory_policy"),
    isAofEnabled: field("aof_enabled") === "1",
    isLastWriteOk: field("aof_last_write_status") === "ok",
    appendfsync: await readAppendfsync(node),
    replicas: Number(field("connected_slaves")),
  }
}

async function readAppendfsync(node: Redis): Promise<string | null> {
  try {
    const answer = await node.config("GET", "appendfsync")
    return Array.isArray(answer) ? String(answer[1]) : null
  } catch (error) {
    if (error instanceof Error && /^(NOPERM|ERR unknown)/.test(error.message)) return null
    throw error
  }
}
