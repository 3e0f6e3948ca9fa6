import { readFileSync } from "node:fs"
import type { Redis } from "ioredis"
import { connectSql, type Sql } from "../../db/connection.ts"
import { startPostgres } from "../../src/embedded/postgres.ts"
import { freePort, type Running } from "../../src/embedded/processes.ts"
import { startRedis } from "../../src/embedded/redis.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { signal } from "../support/stores.ts"
import type { Clock } from "./ground.ts"

/** A process, or a family of them, that a test may kill and freeze. */
export type Breakable = {
  name: string
  /** With SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>
  /** Starts it again; does nothing where it runs. */
  start(): Promise<void>
  freeze(): void
  thaw(): void
  pids(): number[]
}

/** A server of somebody else's. */
export type Store = Breakable & {
  /** As an operator does it: connections end at once, and everything is on the disk. */
  stop(): Promise<void>
}

export type RedisNode = Store & {
  url: string
  port: number
  dir: string
  /** Past every relay, for what only a test does. */
  client: Redis
  disconnect(): void
}

export async function startRedisNode(dir: string, clock: Clock | null): Promise<RedisNode> {
  const port = await freePort()
  const launch = () => startRedis({ dir, port })
  const server = createServer("Redis", () => (clock === null ? launch() : clock.during(launch)))
  const url = `redis://127.0.0.1:${port}`
  await server.start()
  const client = connectRedis(url, { name: "test", commandTimeoutMs: 10_000 })
  const start = async () => {
    await server.start()
    await connected(client, 5_000)
  }
  await start()
  return { ...server, start, url, port, dir, client, disconnect: () => client.disconnect() }
}

export type PostgresNode = Store & {
  url: string
  port: number
  dir: string
  sql: Sql
  disconnect(): Promise<void>
}

const PASSWORD = "test"

export async function startPostgresNode(dir: string): Promise<PostgresNode> {
  const port = await freePort()
  const server = createServer("Postgres", () => startPostgres({ dir, port, password: PASSWORD }))
  await server.start()
  const url = `postgres://fengate:${PASSWORD}@127.0.0.1:${port}/fengate`
  const sql = connectSql(url, { max: 4, applicationName: "test", statementTimeoutMs: 60_000 })
  return { ...server, url, port, dir, sql, disconnect: () => sql.end({ timeout: 1 }) }
}

/** A store, which may also end by itself. */
function createServer(name: string, launch: () => Promise<Running>) {
  let running: Running | null = null
  const pids = () => (running === null ? [] : familyOf(running.pid))
  return {
    ...{ name, pids, start },
    freeze: () => signalAll(pids(), "SIGSTOP"),
    thaw: () => signalAll(pids(), "SIGCONT"),
    kill: () => over(() => signalAll(pids(), "SIGKILL")),
    /** As an operator does it. */
    stop: () => over((server) => void server.stop()),
  }

  async function start(): Promise<void> {
    if (running !== null) return
    const started = await launch()
    running = started
    void started.exited.then(() => {
      if (running === started) running = null
    })
  }

  async function over(end: (server: Running) => void): Promise<void> {
    if (running === null) return
    const ended = running.exited
    end(running)
    await ended
  }
}

/** A process and those that it started, the eldest first, so that it starts no more when it is stopped. */
export function familyOf(pid: number): number[] {
  try {
    const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
    const children = listed === "" ? [] : listed.split(" ").map(Number)
    return [pid, ...children.flatMap(familyOf)]
  } catch {
    // It has ended.
    return []
  }
}

export function signalAll(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) signal(pid, name)
}
