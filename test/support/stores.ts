import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connectSql, type Sql } from "../../db/connection.ts"
import { migrate } from "../../db/migrate.ts"
import { startPostgres } from "../../src/embedded/postgres.ts"
import { type RedisServer, startRedis } from "../../src/embedded/redis.ts"

/** Real stores for a test: a database and a Redis of its own, fresh, in a fraction of a second. */
export type Stores = {
  redisUrl: string
  redisPort: number
  redisDir: string
  /** Where gateways write down what must outlive them. */
  dataDir: string
  databaseUrl: string
  databasePort: number
  sql: Sql
  partitions: number
  /** The process of redis-server, to be stopped and continued by signals. */
  redisPid(): number
  killRedis(): Promise<void>
  /** Starts it again on the same port and directory, after killing it if it still runs. */
  restartRedis(): Promise<void>
  stop(): Promise<void>
}

type Cluster = { url: string; port: number; admin: Sql }

let cluster: Promise<Cluster> | null = null
let databases = 0

export async function startStores({
  partitions = 1,
}: {
  partitions?: number
} = {}): Promise<Stores> {
  cluster ??= startCluster()
  const { url, port: databasePort, admin } = await cluster
  const name = `test_${++databases}`
  await admin.unsafe(`create database ${name} template fengate`)
  const databaseUrl = url.replace(/fengate$/, name)
  const sql = connectSql(databaseUrl, { max: 4, applicationName: "test" })
  const redisDir = mkdtempSync(join(testDir(), "redis-"))
  let redis: RedisServer = await startRedis({ dir: redisDir })
  const { url: redisUrl, port: redisPort } = redis
  return {
    ...{ redisUrl, redisPort, redisDir, databaseUrl, databasePort, sql, partitions },
    dataDir: mkdtempSync(join(testDir(), "data-")),
    redisPid: () => redis.pid,
    killRedis,
    restartRedis,
    stop,
  }

  async function killRedis(): Promise<void> {
    signal(redis.pid, "SIGKILL")
    await redis.exited
  }

  async function restartRedis(): Promise<void> {
    await killRedis()
    redis = await startRedis({ dir: redisDir, port: redisPort })
  }

  async function stop(): Promise<void> {
    await killRedis()
    await sql.end({ timeout: 1 })
    rmSync(redisDir, { recursive: true, force: true })
  }
}

/** One Postgres for all tests of a process. Its own database, migrated, is the template of theirs. */
async function startCluster(): Promise<Cluster> {
  const { url, port } = await startPostgres({ dir: join(testDir(), "postgres"), password: "test" })
  await migrate(url)
  const admin = connectSql(url.replace(/fengate$/, "postgres"), {
    max: 1,
    applicationName: "test admin",
  })
  return { url, port, admin }
}

let dir = ""

/**
 * The folder of this process. `bun test` ends without an exit event, so that a shell waits for the
 * end of this process, at its end of a pipe, and removes the folder then. The stores themselves
 * end with their parent.
 */
function testDir(): string {
  if (dir !== "") return dir
  dir = mkdtempSync(join(tmpdir(), "fengate-test-"))
  mkdirSync(dir, { recursive: true })
  const command = 'cat > /dev/null; sleep 2; rm -rf "$0"'
  const cleaner = Bun.spawn(["sh", "-c", command, dir], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    detached: true,
  })
  cleaner.unref()
  return dir
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended already.
  }
}
