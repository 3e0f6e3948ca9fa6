import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Redis } from "ioredis"
import { Refused } from "./command.ts"
import { type CopiedFile, copyFile, makeDirectory } from "./copying.ts"

const MANIFEST = "appendonly.aof.manifest"
const AOF_DIR = "appendonlydir"
const PERCENTAGE = "auto-aof-rewrite-percentage"
const REWRITE_TIMEOUT_MS = 600_000
const POLL_MS = 50

/**
 * Copies the append-only files of a running Redis, as its documentation says: while no rewrite runs or
 * can begin, its manifest and files are linked; what is linked is copied afterwards. The last file goes
 * on growing, so that it is copied up to its length of that moment: a command that is cut off there is
 * dropped by whoever reads it.
 */
export async function backUpRedis(
  redis: Redis,
  { from, to }: { from: string; to: string },
): Promise<CopiedFile[]> {
  const links = join(from, `backup-${process.pid}`)
  mkdirSync(links, { mode: 0o700 })
  try {
    const { manifest, sizes } = await withoutRewrites(redis, () => link(join(from, AOF_DIR), links))
    await makeDirectory(join(to, AOF_DIR))
    const copied: CopiedFile[] = []
    for (const [name, bytes] of sizes) {
      const copy = await copyFile(join(links, name), join(to, AOF_DIR, name), { bytes })
      if (copy !== null) copied.push({ path: join(AOF_DIR, name), ...copy })
    }
    writeFileSync(join(to, AOF_DIR, MANIFEST), manifest, { mode: 0o600, flush: true })
    const sha256 = new Bun.CryptoHasher("sha256").update(manifest).digest("hex")
    const bytes = Buffer.byteLength(manifest)
    return [...copied, { path: join(AOF_DIR, MANIFEST), bytes, sha256 }]
  } finally {
    rmSync(links, { recursive: true, force: true })
  }
}

function link(dir: string, links: string): { manifest: string; sizes: Map<string, number> } {
  const manifest = readFileSync(join(dir, MANIFEST), "utf8")
  const sizes = new Map<string, number>()
  for (const [, name = ""] of manifest.matchAll(/^file (\S+) /gm)) {
    linkSync(join(dir, name), join(links, name))
    sizes.set(name, statSync(join(links, name)).size)
  }
  return { manifest, sizes }
}

async function withoutRewrites<Value>(redis: Redis, work: () => Value): Promise<Value> {
  const answer = await redis.config("GET", PERCENTAGE)
  const before = Array.isArray(answer) ? String(answer[1]) : "100"
  await redis.config("SET", PERCENTAGE, "0")
  try {
    await awaitRewrite(redis)
    return work()
  } finally {
    await redis.config("SET", PERCENTAGE, before)
  }
}

async function awaitRewrite(redis: Redis): Promise<void> {
  const deadlineAt = performance.now() + REWRITE_TIMEOUT_MS
  while (/^aof_rewrite_(in_progress|scheduled):1/m.test(await redis.info("persistence"))) {
    if (performance.now() >= deadlineAt) {
      throw new Refused("Redis rewrites its append-only file for too long: try again later.")
    }
    await Bun.sleep(POLL_MS)
  }
}
