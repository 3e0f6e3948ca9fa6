import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Redis } from "ioredis"
import type { Sql } from "../../db/connection.ts"
import { migrate } from "../../db/migrate.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { commandOf } from "../../src/embedded/processes.ts"
import { oneNode, type RedisNodes } from "../../src/ledger/cluster.ts"
import { readMeta } from "../../src/ledger/meta.ts"
import { isCompared } from "../../src/ledger/server.ts"
import { startPostgresNode, startRedisNode } from "../faults/servers.ts"
import { eventually } from "../support/eventually.ts"
import { type Relay, startRelay } from "../support/relay.ts"
import { type Gateway, startGateway, startPart } from "./parts.ts"

/** The real system: two gateways, a flusher and a keeper, each a process of its own, on real stores. */
export type System = {
  sql: Sql
  redis: Redis
  nodes: RedisNodes
  partitions: number
  gateways: readonly [Gateway, Gateway]
  /** Strikes, and begins what is needed for the system to recover by itself. */
  strike(fault: Fault): Promise<void>
  /** Until charges are decided again, and nothing of a batch before is under way. */
  recovered(timeoutMs?: number): Promise<void>
  /** Until Postgres has all that Redis wrote. */
  flushed(timeoutMs?: number): Promise<void>
  /** What the parts have logged. */
  log: readonly string[]
  stop(): Promise<void>
}

export type Fault =
  /** What happens to the connections of one gateway to Redis. */
  | { fault: "cut" | "cut_before_reply" | "late_reply" | "late_request"; gateway: number }
  | { fault: "kill_gateway" | "replace_gateway"; gateway: number }
  | { fault: "kill_flusher" | "kill_keeper" | "kill_redis" | "kill_postgres" }
  | { fault: "kill_keeper_and_redis" | "freeze_redis" | "forget_scripts" }
  /** Redis loses all that it has. It begins in a quiet moment, with everything flushed. */
  | { fault: "wipe" | "wipe_and_restart" }

const PARTITIONS = 2
/** Longer than a batch may take. */
const LATE_MS = 280
const RECOVERY_MS = 60_000

export async function startModelSystem(): Promise<System> {
  const dir = mkdtempSync(join(tmpdir(), "fengate-model-"))
  const place = (name: string) => {
    mkdirSync(join(dir, name))
    return join(dir, name)
  }
  const store = await startRedisNode(place("redis"), null)
  const postgres = await startPostgresNode(place("postgres"))
  await migrate(postgres.url)
  const log: string[] = []
  const note = (line: string) => void log.push(line)
  const dataDir = place("data")
  const env = {
    REDIS_URL: store.url,
    DATABASE_URL: postgres.url,
    DATA_DIR: dataDir,
    PARTITIONS: String(PARTITIONS),
  }
  const keeper = await startPart("keeper", env, note)
  const flusher = await startPart("flusher", env, note)
  const relays = [await startRelay(store.port), await startRelay(store.port)] as const
  const begin = ({ through }: Relay) =>
    startGateway({ ...env, REDIS_URL: through(store.url) }, note)
  const gateways = [await begin(relays[0]), await begin(relays[1])] as const
  const { client: redis } = store
  const nodes = oneNode(redis)
  const { sql } = postgres
  const system = {
    sql,
    redis,
    nodes,
    partitions: PARTITIONS,
    gateways,
    strike,
    recovered,
    flushed,
    log,
    stop,
  }
  await recovered()
  return system

  async function strike(fault: Fault): Promise<void> {
    switch (fault.fault) {
      case "cut":
      case "cut_before_reply":
      case "late_reply":
      case "late_request":
        return strikeRelay(relays[fault.gateway === 0 ? 0 : 1], fault.fault)
      case "kill_gateway":
        return gatewayOf(fault.gateway).restart()
      case "replace_gateway":
        return gatewayOf(fault.gateway).replace()
      case "kill_flusher":
        return flusher.restart()
      case "kill_keeper":
        return keeper.restart()
      case "kill_redis":
        return restart(store)
      case "kill_postgres":
        return restart(postgres)
      case "kill_keeper_and_redis":
        await Promise.all([keeper.restart(), restart(store)])
        return
      case "freeze_redis":
        store.freeze()
        await Bun.sleep(LATE_MS)
        return store.thaw()
      case "forget_scripts":
        await redis.script("FLUSH")
        return
      case "wipe":
        await redis.flushall()
        return
      case "wipe_and_restart":
        await store.kill()
        rmSync(join(store.dir, "appendonlydir"), { recursive: true, force: true })
        return store.start()
    }
  }

  function gatewayOf(place: number): Gateway {
    return gateways[place === 0 ? 0 : 1]
  }

  async function restart(server: { kill(): Promise<void>; start(): Promise<void> }) {
    await server.kill()
    await server.start()
  }

  async function recovered(timeoutMs = RECOVERY_MS): Promise<void> {
    await eventually(
      async () => {
        const ready = await Promise.all(gateways.map((gateway) => gateway.isReady()))
        return ready.every((is) => is) && leftovers(dataDir) === 0 && (await isOpen())
      },
      { timeoutMs },
    )
  }

  /** The generations that Postgres knows of are those that Redis runs, and that Postgres is known. */
  async function isOpen(): Promise<boolean> {
    const opened = await Promise.all(
      (await readWatermarks(sql)).map(async (watermark) => {
        const meta = await readMeta(nodes, watermark.partition)
        const isSame = meta?.generation === watermark.generation
        return isSame && !watermark.isRefilling && (await isCompared(nodes, watermark))
      }),
    )
    return opened.every(Boolean)
  }

  async function flushed(timeoutMs = RECOVERY_MS): Promise<void> {
    await eventually(
      async () => {
        for (const { partition, generation, entryNumber } of await readWatermarks(sql)) {
          const meta = await readMeta(nodes, partition)
          if (meta?.generation !== generation || meta.entryNumber !== entryNumber) return false
        }
        return true
      },
      { timeoutMs },
    )
  }

  async function stop(): Promise<void> {
    await Promise.all([...gateways, flusher, keeper].map((part) => part.stop()))
    await Promise.all(relays.map((relay) => relay.stop()))
    store.disconnect()
    await postgres.disconnect()
    await Promise.all([store.kill(), postgres.kill()])
    rmSync(dir, { recursive: true, force: true })
  }
}

async function strikeRelay(relay: Relay, how: string): Promise<void> {
  switch (how) {
    case "cut":
      return relay.cutAll()
    case "cut_before_reply":
      void relay.cutBeforeReplyTo("EVALSHA")
      return
    case "late_reply":
      relay.holdReplies()
      await Bun.sleep(LATE_MS)
      return relay.release()
    default:
      // The client gives up, and its request arrives all the same.
      relay.holdRequests()
      await Bun.sleep(LATE_MS / 20)
      relay.cutClients()
      return relay.release()
  }
}

/** Files in which processes that ended have left a slot, or a batch to revoke. */
function leftovers(dataDir: string): number {
  const names = readdirSync(join(dataDir, "revokes"))
  return names.filter((name) => commandOf(Number.parseInt(name, 10)) === null).length
}
