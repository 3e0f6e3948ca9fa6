import { linkSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beginningOf, codeOf, readIfThere, StartRefused } from "./processes.ts"

/**
 * One program at a time on a data directory. The lock names its holder by pid and beginning, so
 * that a holder that was killed, or whose pid another program has got, holds nothing.
 */
export function lockDirectory(dataDir: string): { release(): void } {
  const path = join(dataDir, "lock")
  const mine = join(dataDir, `lock.${process.pid}`)
  const text = `${process.pid} ${beginningOf(process.pid)}\n`
  writeFileSync(mine, text, { mode: 0o600 })
  try {
    while (!isLinked(mine, path)) takeAsideIfStale({ path, dataDir })
  } finally {
    rmSync(mine, { force: true })
  }
  return {
    release() {
      if (readIfThere(path) === text) rmSync(path)
    },
  }
}

/** The pid of the program that runs on a data directory; null where none does. */
export function holderOf(dataDir: string): number | null {
  const { pid, beginning } = readHolder(readIfThere(join(dataDir, "lock")) ?? "")
  return beginning !== "" && beginningOf(pid) === beginning ? pid : null
}

function readHolder(text: string): { pid: number; beginning: string } {
  const [pid = "", ...beginning] = text.trim().split(" ")
  return { pid: Number(pid), beginning: beginning.join(" ") }
}

/** Linking a complete file is one step: nobody sees a lock without its holder. */
function isLinked(mine: string, path: string): boolean {
  try {
    linkSync(mine, path)
    return true
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false
    throw error
  }
}

function takeAsideIfStale({ path, dataDir }: { path: string; dataDir: string }): void {
  const text = readIfThere(path)
  if (text === null) return
  const { pid, beginning } = readHolder(text)
  if (beginningOf(pid) === beginning) {
    throw new StartRefused(
      `DATA_DIR ${dataDir} is in use by process ${pid}: stop it, set another DATA_DIR, or set REDIS_URL and DATABASE_URL to share its servers.`,
    )
  }
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if (codeOf(error) === "ENOENT") return
    throw error
  }
  // Another program may have taken the stale lock over in between: then this one is its, and goes
  // back.
  if (readIfThere(aside) !== text) isLinked(aside, path)
  rmSync(aside)
}
