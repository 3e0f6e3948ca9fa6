import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Redis } from "ioredis"
import { connectSql, type Sql } from "../db/connection.ts"
import { migrate } from "../db/migrate.ts"
import { UPSTREAM_CALLS } from "../src/children.ts"
import { startEmbeddedStores } from "../src/embedded/index.ts"
import { freePort } from "../src/embedded/processes.ts"
import { connected, connectRedis } from "../src/ledger/redis.ts"
import { startKeeper } from "../src/recovery/keeper.ts"
import { answering, startProgram } from "./programs.ts"

export type Gateway = { url: string; pid: number; stop(): Promise<void> }

/** `bunArgs` are for its runtime, `env` are settings. */
type GatewayOptions = { bunArgs?: readonly string[]; env?: Readonly<Record<string, string>> }

/** A whole installation, made for one run of the benchmark and removed with its data afterwards. */
export type System = {
  sql: Sql
  redis: Redis
  /** Where profiles and logs go while it runs. */
  dir: string
  gateways: readonly Gateway[]
  /** Another gateway process beside those that run. */
  startGateway(options?: GatewayOptions): Promise<Gateway>
  /** By part of the system, the processes whose CPU time is its own. */
  pids(): Record<Part, number[]>
  stop(): Promise<void>
}
export const PARTS = ["gateway", "redis", "flusher", "postgres"] as const
export type Part = (typeof PARTS)[number]
export const PART_NAMES: Record<Part, string> = {
  gateway: "gateway",
  redis: "Redis",
  flusher: "flusher",
  postgres: "Postgres",
}

type Log = (message: string) => void

const GATEWAY_ENTRY = join(import.meta.dir, "gateway.ts")
const MAIN_ENTRY = join(import.meta.dir, "..", "src", "main.ts")

export async function startSystem({
  gateways: count,
  log,
}: {
  gateways: number
  log: Log
}): Promise<System> {
  const dir = mkdtempSync(join(tmpdir(), "fengate-bench-"))
  const stops: (() => Promise<unknown> | void)[] = [() => rmSync(dir, { recursive: true })]
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each()
  }
  try {
    const stores = await startEmbeddedStores({ dataDir: join(dir, "data"), onProgress: log })
    stops.push(() => stores.stop())
    await migrate(stores.databaseUrl)
    const keeper = await startKeeper({ ...stores, partitions: 1, log })
    stops.push(() => keeper.stop())
    const clients = await connectClients(stores)
    stops.push(() => clients.end())
    const flusher = startProgram([process.execPath, MAIN_ENTRY, "flusher"], {
      dir,
      name: "flusher",
      env: envOf(stores),
    })
    stops.push(() => flusher.stop())

    const gateways: Gateway[] = []
    const startGateway = async (options: GatewayOptions = {}): Promise<Gateway> => {
      const gateway = await startOneGateway({ dir, stores, ...options })
      stops.push(() => gateway.stop())
      return gateway
    }
    while (gateways.length < count) gateways.push(await startGateway())
    return {
      ...clients,
      dir,
      gateways,
      startGateway,
      pids: () => ({
        gateway: gateways.map(({ pid }) => pid),
        redis: [stores.pids.redis],
        flusher: [flusher.pid],
        postgres: [stores.pids.postgres],
      }),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

type Stores = { redisUrl: string; databaseUrl: string }

function envOf({ redisUrl, databaseUrl }: Stores): Record<string, string> {
  return { REDIS_URL: redisUrl, DATABASE_URL: databaseUrl }
}

async function connectClients({ redisUrl, databaseUrl }: Stores) {
  const redis = connectRedis(redisUrl, { name: "fengate bench", commandTimeoutMs: 10_000 })
  await connected(redis, 10_000)
  const sql = connectSql(databaseUrl, {
    max: 2,
    applicationName: "fengate bench",
    statementTimeoutMs: 120_000,
  })
  return {
    redis,
    sql,
    async end() {
      redis.disconnect()
      await sql.end({ timeout: 1 })
    },
  }
}

/** Each on a port of its own, so that the load and its figures can be told apart. */
async function startOneGateway(options: {
  dir: string
  stores: Stores
  bunArgs?: readonly string[]
  env?: Readonly<Record<string, string>>
}): Promise<Gateway> {
  const { dir, stores, bunArgs = [] } = options
  const port = await freePort()
  const name = `gateway-${port}`
  const dataDir = join(dir, name)
  const env = {
    ...envOf(stores),
    ...UPSTREAM_CALLS,
    HOST: "127.0.0.1",
    PORT: String(port),
    DATA_DIR: dataDir,
    ...options.env,
  }
  const program = startProgram([process.execPath, ...bunArgs, GATEWAY_ENTRY], { dir, name, env })
  const url = `http://127.0.0.1:${port}`
  await answering(program, { url: `${url}/readyz`, isUp: (status) => status === 200 })
  return { url, pid: program.pid, stop: program.stop }
}
