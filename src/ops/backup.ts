import { readdirSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { describePostgres } from "../../db/queries/describe-postgres.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { codeOf, readIfThere } from "../embedded/processes.ts"
import { anchorsDirOf } from "../flusher/anchors.ts"
import { backUpPostgres } from "./backup-postgres.ts"
import { backUpRedis } from "./backup-redis.ts"
import { type Command, type Io, parseWords, Refused } from "./command.ts"
import { type CopiedFile, copyFile, listFiles, makeDirectory, syncDirectories } from "./copying.ts"
import { dumpPostgres } from "./dump.ts"
import { writeManifest } from "./manifest.ts"
import { describeRedis } from "./redis-facts.ts"
import {
  findInstallation,
  type Installation,
  type Stores,
  withOneConnection,
  withStores,
} from "./stores.ts"

/** A backup of both stores while calls are charged. */
export const backup: Command = {
  summary: "backs both stores up into a new directory, while calls are charged",
  usage: `npm run ops -- backup <dir>

Of an embedded installation that runs: copies Redis's append-only files, then Postgres's files and log,
into <dir>, which must be empty or not there yet, and notes the SHA-256 of each file. What it holds is
Postgres at its end; a charge that was not flushed by then is not in it. It holds the passwords of both
servers and all that accounts have: keep it as safe as the data itself.

With REDIS_URL and DATABASE_URL: runs pg_dump, where it is installed and not older than the server, and
says how to copy what Redis has.
`,
  async run(words, io) {
    const { positionals } = parseWords(words, { options: {}, names: ["dir"] })
    const dir = resolve(positionals[0] ?? "")
    const installation = findInstallation(io.env)
    if (installation.kind === "stopped") {
      throw new Refused(
        `Nothing runs on ${installation.config.dataDir}: a copy of that directory is a backup of it.`,
      )
    }
    await requireEmpty(dir)
    if (installation.kind === "own") return dumpPostgres(installation, dir, io)
    return backUpEmbedded(installation, dir, io)
  },
}

async function requireEmpty(dir: string): Promise<void> {
  await makeDirectory(dir)
  if (readdirSync(dir).length > 0) throw new Refused(`${dir} is not empty: name another directory.`)
}

type Running = Extract<Installation, { kind: "running" }>

/**
 * Redis before Postgres: what is restored has a Redis that is never ahead, so that it is Postgres's
 * copy that counts, and the program builds Redis from it where anything was flushed in between.
 */
async function backUpEmbedded(installation: Running, dir: string, io: Io): Promise<number> {
  const startedAt = performance.now()
  const { dataDir } = installation.config
  const files = await withStores(installation, async ({ redis, sql }) => {
    const facts = await readFacts({ redis, sql })
    const copied = [...below("anchors", await copyAll(anchorsDirOf(dataDir), join(dir, "anchors")))]
    const redisDirs = { from: join(dataDir, "redis"), to: join(dir, "redis") }
    copied.push(...below("redis", await backUpRedis(redis.of(0), redisDirs)))
    io.err("Redis is copied, now Postgres ...\n")
    copied.push(...below("revokes", await copyAll(join(dataDir, "revokes"), join(dir, "revokes"))))
    const data = join("postgres", "data")
    const postgresDirs = { from: join(dataDir, data), to: join(dir, data) }
    const postgresFiles = await withOneConnection(installation, (connection) =>
      backUpPostgres(connection, postgresDirs),
    )
    copied.push(...below(data, postgresFiles))
    copySecrets(dataDir, dir)
    const { dirs } = await listFiles(dir)
    await syncDirectories([dir, ...dirs.map((each) => join(dir, each))])
    writeManifest(dir, { ...facts, directories: dirs, files: copied })
    await syncDirectories([dir])
    return copied
  })
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  io.out(
    `${files.length} files with ${(bytes / 1_048_576).toFixed(1)} MB are in ${dir}, in ${seconds} s\n`,
  )
  return 0
}

async function readFacts({ redis, sql }: Stores) {
  const [{ version: postgresVersion }, [node], watermarks] = await Promise.all([
    describePostgres(sql),
    describeRedis(redis),
    readWatermarks(sql),
  ])
  return {
    madeAt: new Date().toISOString(),
    ...{ postgresVersion, redisVersion: node?.version ?? "unknown", partitions: watermarks.length },
    watermarks: watermarks.map(({ partition, generation, entryNumber, records }) => {
      return { partition, generation, entryNumber, records }
    }),
  }
}

/** All files of a directory that may not be there; those that vanish meanwhile are left out. */
async function copyAll(from: string, to: string): Promise<CopiedFile[]> {
  const copied: CopiedFile[] = []
  for (const path of (await listFiles(from)).files) {
    const copy = await copyFile(join(from, path), join(to, path))
    if (copy !== null) copied.push({ path, ...copy })
  }
  return copied
}

function below(dir: string, files: readonly CopiedFile[]): CopiedFile[] {
  return files.map((file) => ({ ...file, path: join(dir, file.path) }))
}

/** The passwords alone: where the servers listen is of this run. */
function copySecrets(dataDir: string, dir: string): void {
  const text = readIfThere(join(dataDir, "stores.json"))
  if (text === null) throw new Refused(`${join(dataDir, "stores.json")} is missing.`)
  const secrets = Object.entries(Object(JSON.parse(text))).filter(([name]) =>
    name.endsWith("Password"),
  )
  const json = `${JSON.stringify(Object.fromEntries(secrets), null, 2)}\n`
  try {
    writeFileSync(join(dir, "stores.json"), json, { mode: 0o600, flush: true, flag: "wx" })
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error
    throw new Refused(`Somebody else writes into ${dir}: name another directory.`, { cause: error })
  }
}
