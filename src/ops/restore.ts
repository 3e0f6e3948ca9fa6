import { existsSync, readdirSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import { lockDirectory } from "../embedded/lock.ts"
import { postgresVersion } from "../embedded/postgres.ts"
import { ownerFor } from "../embedded/postgres-owner.ts"
import { readIfThere } from "../embedded/processes.ts"
import { type Command, type Io, parseWords, Refused } from "./command.ts"
import { copyFile, listFiles, makeDirectory, syncDirectories } from "./copying.ts"
import { type Manifest, readManifest } from "./manifest.ts"
import { findInstallation } from "./stores.ts"

const DATA = join("postgres", "data")

/** Puts a backup of an embedded installation where none is. */
export const restore: Command = {
  summary: "puts a backup of an embedded installation into an empty DATA_DIR",
  usage: `npm run ops -- restore <dir>

Copies a backup that ops backup made into DATA_DIR, which must be empty or not there, and compares the
SHA-256 of each file. The next start there brings both servers up; what Redis lacks is built from
Postgres. For servers of your own (REDIS_URL, DATABASE_URL) use pg_restore: see src/ops/README.md.
`,
  async run(words, io) {
    const { positionals } = parseWords(words, { options: {}, names: ["dir"] })
    const dir = resolve(positionals[0] ?? "")
    const installation = findInstallation(io.env)
    const { dataDir } = installation.config
    if (installation.kind === "own") {
      throw new Refused(
        "REDIS_URL and DATABASE_URL are set: use pg_restore for servers of your own (src/ops/README.md).",
      )
    }
    if (installation.kind === "running") {
      throw new Refused(`Process ${installation.pid} runs on ${dataDir}: stop it, or set DATA_DIR.`)
    }
    const manifest = readManifest(dir)
    requireVersion(manifest)
    if (existsSync(dataDir) && readdirSync(dataDir).length > 0) {
      throw new Refused(`${dataDir} is not empty: move it away, or set another DATA_DIR.`)
    }
    await makeDirectory(dataDir)
    const lock = lockDirectory(dataDir)
    try {
      await copyBack({ manifest, dir, dataDir })
    } finally {
      lock.release()
    }
    report(manifest, dataDir, io)
    return 0
  },
}

/** The files of one major version of Postgres are nothing to another. */
function requireVersion({ postgresVersion: backedUp }: Manifest): void {
  const here = postgresVersion()
  if (Number.parseInt(here, 10) === Number.parseInt(backedUp, 10)) return
  throw new Refused(
    `The backup is of Postgres ${backedUp}, and the one of this program is ${here}: restore it with the version that made it.`,
  )
}

/** The passwords come last: without them nothing starts there. */
async function copyBack({
  manifest,
  dir,
  dataDir,
}: {
  manifest: Manifest
  dir: string
  dataDir: string
}): Promise<void> {
  if (readIfThere(join(dir, "stores.json")) === null) {
    throw new Refused(
      `${join(dir, "stores.json")} is missing: it has the passwords of the servers.`,
    )
  }
  await makeDirectory(join(dataDir, "postgres"))
  const owner = ownerFor(join(dataDir, DATA))
  if (owner !== null) {
    // Only that user's own: the folder is what it needs to enter.
    await makeDirectory(join(dataDir, DATA), owner)
  }
  const ownerOf = (path: string) => (path.startsWith(`${DATA}/`) ? owner : null)
  for (const path of manifest.directories) await makeDirectory(join(dataDir, path), ownerOf(path))
  for (const { path, bytes, sha256 } of manifest.files) {
    const target = join(dataDir, withoutPid(path))
    const copy = await copyFile(join(dir, path), target, { owner: ownerOf(path) })
    if (copy === null) throw new Refused(`${join(dir, path)} is missing: the backup is not whole.`)
    if (copy.bytes === bytes && copy.sha256 === sha256) continue
    throw new Refused(`${join(dir, path)} is not what was backed up: its SHA-256 is another.`)
  }
  const { dirs } = await listFiles(dataDir)
  await syncDirectories([dataDir, ...dirs.map((each) => join(dataDir, each))])
  await copyFile(join(dir, "stores.json"), join(dataDir, "stores.json"))
  await syncDirectories([dataDir])
}

/** No process has this number: what a gateway of then has left is taken up by whoever starts. */
const NOBODY = 4_194_305

function withoutPid(path: string): string {
  return path.replace(/^revokes\/\d+-/, `revokes/${NOBODY}-`)
}

function report({ madeAt, partitions }: Manifest, dataDir: string, { out }: Io): void {
  const { mode } = statSync(dataDir)
  if ((mode & 0o077) !== 0) out(`${dataDir} may be read by others than its owner\n`)
  out(`the backup of ${madeAt} is in ${dataDir}: start the program with PARTITIONS=${partitions}\n`)
}
