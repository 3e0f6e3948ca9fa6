import { join } from "node:path"
import { connectSql, type Sql } from "../../db/connection.ts"
import { type Config, readConfig } from "../config.ts"
import { holderOf } from "../embedded/lock.ts"
import { readIfThere } from "../embedded/processes.ts"
import { connectNodes, type RedisNodes } from "../ledger/cluster.ts"
import { messageOf } from "../ticker.ts"
import { type Io, Refused } from "./command.ts"

export type Urls = { redisUrl: string; databaseUrl: string }

/** Which stores this environment means, and whether they can be asked. */
export type Installation =
  | ({ kind: "own"; config: Config } & Urls)
  | ({ kind: "running"; config: Config; pid: number } & Urls)
  | { kind: "stopped"; config: Config }

export type Stores = { redis: RedisNodes; sql: Sql }

const CONNECT_TIMEOUT_MS = 5_000
const COMMAND_TIMEOUT_MS = 30_000
/** By this name both servers know the command. */
export const OPS_NAME = "fengate ops"

export function findInstallation(env: Io["env"]): Installation {
  const config = readConfig(env)
  if (config.stores !== null) return { kind: "own", config, ...config.stores }
  const pid = holderOf(config.dataDir)
  if (pid === null) return { kind: "stopped", config }
  const stores: { redis?: { url?: unknown }; postgres?: { url?: unknown } } = Object(
    JSON.parse(readIfThere(join(config.dataDir, "stores.json")) ?? "{}"),
  )
  const [redisUrl, databaseUrl] = [stores.redis?.url, stores.postgres?.url]
  if (typeof redisUrl !== "string" || typeof databaseUrl !== "string") {
    throw new Refused(`Process ${pid} is starting on ${config.dataDir}: wait until it is up.`)
  }
  return { kind: "running", config, pid, redisUrl, databaseUrl }
}

/** Throws `Refused` where nothing runs. */
export function requireRunning(env: Io["env"]): Exclude<Installation, { kind: "stopped" }> {
  const installation = findInstallation(env)
  if (installation.kind !== "stopped") return installation
  throw new Refused(
    `Nothing runs on ${installation.config.dataDir}: start it there, set DATA_DIR, or set REDIS_URL and DATABASE_URL.`,
  )
}

/** Connections for the time of `work`. A statement may take as long as it needs. */
export async function withStores<Value>(
  urls: Urls,
  work: (stores: Stores) => Promise<Value>,
): Promise<Value> {
  const sql = connectPostgres(urls)
  let redis: RedisNodes | null = null
  try {
    await requirePostgres(sql)
    redis = await requireRedis(urls, COMMAND_TIMEOUT_MS)
    return await work({ redis, sql })
  } finally {
    redis?.disconnect()
    await sql.end({ timeout: 1 })
  }
}

/** The same of Postgres alone: Redis may be away. */
export async function withPostgres<Value>(
  urls: Urls,
  work: (sql: Sql) => Promise<Value>,
): Promise<Value> {
  const sql = connectPostgres(urls)
  try {
    await requirePostgres(sql)
    return await work(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** One connection of Postgres: what is temporary on it ends with it. */
export async function withOneConnection<Value>(
  urls: Urls,
  work: (connection: Sql) => Promise<Value>,
): Promise<Value> {
  const connection = connectPostgres(urls, 1)
  try {
    return await work(connection)
  } finally {
    await connection.end({ timeout: 1 })
  }
}

function connectPostgres({ databaseUrl }: Urls, max = 2): Sql {
  return connectSql(databaseUrl, { max, applicationName: OPS_NAME, statementTimeoutMs: 0 })
}

export function requireRedis({ redisUrl }: Urls, commandTimeoutMs: number): Promise<RedisNodes> {
  const options = { name: OPS_NAME, commandTimeoutMs, timeoutMs: CONNECT_TIMEOUT_MS }
  return connectNodes(redisUrl, options).catch((error: unknown) => {
    throw new Refused(`Redis cannot be reached: ${messageOf(error)}`, { cause: error })
  })
}

async function requirePostgres(sql: Sql): Promise<void> {
  await sql`select 1`.catch((error: unknown) => {
    throw new Refused(`Postgres cannot be reached: ${messageOf(error)}`, { cause: error })
  })
}
