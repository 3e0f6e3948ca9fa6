import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Redis } from "ioredis"
import { endsWithParent, freePort, spawnServer } from "../../src/embedded/processes.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { eventually } from "./eventually.ts"
import { signal } from "./stores.ts"

/** A node of a Redis Cluster, and a connection to it of the test's own. */
export type ClusterNode = {
  port: number
  bus: number
  id: string
  redis: Redis
  pid(): number
  kill(): Promise<void>
  /** On the same port and directory. */
  restart(): Promise<void>
}

export type RedisCluster = {
  /** All nodes, separated by commas. */
  url: string
  /** As it was made: `replicas[i]` is that of `masters[i]`. */
  masters: readonly ClusterNode[]
  replicas: readonly ClusterNode[]
  stop(): Promise<void>
}

const MASTERS = 3
const SLOTS = 16_384
const NODE_TIMEOUT_MS = 2_000

/** Three masters that share the slots, and a replica of each, of real redis-servers on loopback. */
export async function startRedisCluster(dir: string): Promise<RedisCluster> {
  const nodes = await Promise.all(
    Array.from({ length: 2 * MASTERS }, (_, i) => startNode(join(dir, `node-${i}`))),
  )
  const [masters, replicas] = [nodes.slice(0, MASTERS), nodes.slice(MASTERS)]
  const [first] = masters
  if (first === undefined) throw new Error("a cluster has nodes")
  for (const [i, { redis }] of masters.entries()) {
    const [from, to] = [i, i + 1].map((n) => Math.floor((n * SLOTS) / MASTERS))
    await redis.call("CLUSTER", "ADDSLOTSRANGE", String(from), String((to ?? 0) - 1))
    await redis.call("CLUSTER", "SET-CONFIG-EPOCH", String(i + 1))
  }
  for (const { redis } of nodes.slice(1)) {
    await redis.call("CLUSTER", "MEET", "127.0.0.1", String(first.port), String(first.bus))
  }
  await everybody(nodes, ({ known }) => known === nodes.length)
  for (const [i, { redis }] of replicas.entries()) {
    await redis.call("CLUSTER", "REPLICATE", masters[i]?.id ?? "")
  }
  await everybody(nodes, ({ isOk }) => isOk)
  await eventually(async () => {
    for (const { redis } of replicas) {
      if (!/master_link_status:up/.test(await redis.info("replication"))) return false
    }
    return true
  })
  return {
    url: `redis://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`,
    masters,
    replicas,
    async stop() {
      await Promise.all(nodes.map((node) => node.kill()))
      for (const { redis } of nodes) redis.disconnect()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

async function everybody(
  nodes: readonly ClusterNode[],
  isSo: (state: { isOk: boolean; known: number }) => boolean,
): Promise<void> {
  await eventually(
    async () => {
      for (const { redis } of nodes) {
        const info = String(await redis.call("CLUSTER", "INFO"))
        const known = Number(/^cluster_known_nodes:(\d+)/m.exec(info)?.[1])
        if (!isSo({ isOk: /^cluster_state:ok/m.test(info), known })) return false
      }
      return true
    },
    { timeoutMs: 20_000 },
  )
}

async function startNode(dir: string): Promise<ClusterNode> {
  mkdirSync(dir, { recursive: true })
  const [port, bus] = [await freePort(), await freePort()]
  const config = join(dir, "redis.conf")
  const lines = [
    ...["bind 127.0.0.1", `port ${port}`, `dir "${dir}"`, 'save ""', "appendonly yes"],
    ...[
      "appendfsync always",
      "maxmemory-policy noeviction",
      "cluster-enabled yes",
      "repl-diskless-sync-delay 0",
    ],
    ...[`cluster-port ${bus}`, `cluster-node-timeout ${NODE_TIMEOUT_MS}`],
    // A master that is gone takes its own slots with it, and no others.
    ...["cluster-require-full-coverage no", ""],
  ]
  writeFileSync(config, lines.join("\n"))
  const command = [...endsWithParent("TERM"), "redis-server", config]
  const start = () => spawnServer(command, { dir, log: join(dir, "redis.log") })
  let child = start()
  const redis = connectRedis(`redis://127.0.0.1:${port}`, { name: "test", commandTimeoutMs: 5_000 })
  await connected(redis, 10_000)
  return {
    ...{ port, bus, redis },
    id: String(await redis.call("CLUSTER", "MYID")),
    pid: () => child.pid,
    kill,
    async restart() {
      await kill()
      child = start()
      await eventually(async () => (await redis.ping()) === "PONG")
    },
  }

  async function kill(): Promise<void> {
    signal(child.pid, "SIGCONT")
    signal(child.pid, "SIGKILL")
    await child.exited
  }
}
