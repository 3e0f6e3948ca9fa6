import { chownSync } from "node:fs"
import { mkdir, open as openFile, readdir } from "node:fs/promises"
import { dirname, join } from "node:path"
import { codeOf } from "../embedded/processes.ts"
import { syncDirectory } from "../ledger/revokes.ts"

/** Copies of files that a server may be writing to, and what they held. */

export type CopiedFile = { path: string; bytes: number; sha256: string }

type Owner = { uid: number; gid: number } | null

const CHUNK_BYTES = 1_048_576

/**
 * Copies a file, at most its first `bytes`, and syncs the copy. Answers what was copied; null where the
 * file is not there (any more).
 */
export async function copyFile(
  from: string,
  to: string,
  { bytes = Number.POSITIVE_INFINITY, owner = null }: { bytes?: number; owner?: Owner } = {},
): Promise<Omit<CopiedFile, "path"> | null> {
  const source = await openFile(from, "r").catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return null
    throw error
  })
  if (source === null) return null
  try {
    await makeDirectory(dirname(to), owner)
    const target = await openFile(to, "wx", 0o600)
    try {
      const hash = new Bun.CryptoHasher("sha256")
      const chunk = Buffer.alloc(CHUNK_BYTES)
      let copied = 0
      while (copied < bytes) {
        const wanted = Math.min(CHUNK_BYTES, bytes - copied)
        const { bytesRead } = await source.read(chunk, 0, wanted, copied)
        if (bytesRead === 0) break
        const part = chunk.subarray(0, bytesRead)
        hash.update(part)
        await target.write(part, 0, bytesRead, copied)
        copied += bytesRead
      }
      await target.sync()
      if (owner !== null) chownSync(to, owner.uid, owner.gid)
      return { bytes: copied, sha256: hash.digest("hex") }
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

/** Makes a directory and those above it, closed to others. */
export async function makeDirectory(path: string, owner: Owner = null): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 })
  if (made === undefined || owner === null) return
  for (let each = path; each.length >= made.length; each = dirname(each)) {
    chownSync(each, owner.uid, owner.gid)
  }
}

/** The paths of all files below `dir`, relative to it; none where there is no such directory. */
export async function listFiles(dir: string): Promise<{ files: string[]; dirs: string[] }> {
  const [files, dirs]: [string[], string[]] = [[], []]
  await walk("")
  return { files, dirs }

  async function walk(below: string): Promise<void> {
    const entries = await readdir(join(dir, below), { withFileTypes: true }).catch(
      (error: unknown) => {
        // A server may have removed it meanwhile.
        if (codeOf(error) === "ENOENT") return []
        throw error
      },
    )
    for (const entry of entries) {
      const path = join(below, entry.name)
      if (entry.isDirectory()) {
        dirs.push(path)
        await walk(path)
      } else if (entry.isFile()) files.push(path)
    }
  }
}

/** Syncs the names in these directories. */
export async function syncDirectories(dirs: readonly string[]): Promise<void> {
  for (const dir of dirs) await syncDirectory(dir)
}
