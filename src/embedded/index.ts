import { randomBytes } from "node:crypto"
import { chmodSync, existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { allOrNone, keepRunning, type Restarted } from "../restarts.ts"
import { lockDirectory } from "./lock.ts"
import { type PostgresServer, startPostgres } from "./postgres.ts"
import { freePort, readIfThere, StartRefused } from "./processes.ts"
import { type RedisServer, startRedis } from "./redis.ts"

export type EmbeddedStores = {
  redisUrl: string
  /** The same Redis, as the user that gateways are. */
  gatewayRedisUrl: string
  databaseUrl: string
  /** The databases were made by this start. */
  fresh: boolean
  /** Resolves with a sentence once a store has died and could not be started again. */
  exited: Promise<string>
  /** Of the servers that run now: they change when one is started again. */
  readonly pids: { redis: number; postgres: number }
  stop(): Promise<void>
}

type Report = (sentence: string) => void
type Passwords = { redisPassword: string; postgresPassword: string }

const FAILURES_MAX = 10

/** Starts Redis and Postgres on loopback, with their data under `dataDir`, and keeps them up. */
export async function startEmbeddedStores(options: {
  dataDir: string
  onProgress: Report
}): Promise<EmbeddedStores> {
  const dataDir = resolve(options.dataDir)
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  chmodSync(dataDir, 0o700)
  const lock = lockDirectory(dataDir)
  try {
    const passwords = readPasswords(dataDir)
    const both = await startBoth({ dataDir, passwords, report: options.onProgress })
    return storesOf(both, lock)
  } catch (error) {
    lock.release()
    throw error
  }
}

type Both = {
  redis: Restarted<RedisServer>
  database: Restarted<PostgresServer>
  gatewayRedisUrl: string
}

async function startBoth(options: {
  dataDir: string
  passwords: Passwords
  report: Report
}): Promise<Both> {
  const { dataDir, passwords, report } = options
  if (!existsSync(join(dataDir, "postgres", "data"))) report("Making the databases ...")
  // Chosen once: a store that is started again is where its clients look for it.
  const [redisPort, databasePort] = [await freePort(), await freePort()]
  // Nobody needs it but the gateways of this start.
  const gatewayPassword = password()
  const running = new Map<string, { url: string; pid: number }>()
  /** Operations find the servers by this file. */
  const noted = <Server extends { url: string; pid: number }>(name: string, server: Server) => {
    running.set(name, { url: server.url, pid: server.pid })
    writeStores(dataDir, { ...passwords, ...Object.fromEntries(running) })
    return server
  }
  const startOne = {
    redis: () =>
      startRedis({
        dir: join(dataDir, "redis"),
        port: redisPort,
        password: passwords.redisPassword,
        gatewayPassword,
        log: report,
      }),
    database: () =>
      startPostgres({
        dir: join(dataDir, "postgres"),
        port: databasePort,
        password: passwords.postgresPassword,
      }),
  }
  const kept = { report, failuresMax: FAILURES_MAX }
  const redis = keepRunning({
    name: "Redis",
    start: async () => noted("redis", await startOne.redis()),
    ...kept,
  })
  const database = keepRunning({
    name: "Postgres",
    start: async () => noted("postgres", await startOne.database()),
    ...kept,
  })
  await allOrNone([redis, database])
  const gatewayRedisUrl = `redis://gateway:${gatewayPassword}@127.0.0.1:${redisPort}`
  return { redis: await redis, database: await database, gatewayRedisUrl }
}

function storesOf(
  { redis, database, gatewayRedisUrl }: Both,
  lock: { release(): void },
): EmbeddedStores {
  const { url: databaseUrl, fresh } = database.current()
  return {
    redisUrl: redis.current().url,
    gatewayRedisUrl,
    databaseUrl,
    fresh,
    exited: Promise.race([redis.lost, database.lost]),
    get pids() {
      return { redis: redis.current().pid, postgres: database.current().pid }
    },
    async stop() {
      await Promise.all([redis.stop(), database.stop()])
      lock.release()
    },
  }
}

function readPasswords(dataDir: string): Passwords {
  const text = readIfThere(join(dataDir, "stores.json"))
  if (text !== null) {
    const { redisPassword, postgresPassword } = Object(JSON.parse(text))
    return { redisPassword: String(redisPassword), postgresPassword: String(postgresPassword) }
  }
  if (existsSync(join(dataDir, "postgres", "data"))) {
    throw new StartRefused(
      `${join(dataDir, "stores.json")}, which holds the password of the Postgres there, is missing: bring it back, or set another DATA_DIR.`,
    )
  }
  const passwords = { redisPassword: password(), postgresPassword: password() }
  writeStores(dataDir, passwords)
  return passwords
}

function password(): string {
  return randomBytes(24).toString("hex")
}

/** Renamed into place: a crash leaves the former file or the new one, never half of one. */
function writeStores(dataDir: string, stores: object): void {
  const path = join(dataDir, "stores.json")
  writeFileSync(`${path}.new`, `${JSON.stringify(stores, null, 2)}\n`, { mode: 0o600, flush: true })
  renameSync(`${path}.new`, path)
}
