import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { programOnPath } from "../../src/embedded/processes.ts"

/** Folders of a run. Where the system permits it, the servers' are small disks that can be full. */
export type Ground = {
  dir: string
  /** A folder of this name; a disk of its own where that is permitted. */
  disk(name: string): string
  /** Null, or why there are no disks. */
  withoutDisks: string | null
  /** Leaves this many bytes free on the disk. */
  fill(path: string, freeBytes: number): void
  /** As large as it was. */
  widen(path: string): void
  clear(): void
}

const DISK_BYTES = 2 ** 31

export function createGround(): Ground {
  const dir = mkdtempSync(join(tmpdir(), "fengate-faults-"))
  const disks: string[] = []
  let withoutDisks: string | null = null
  const cleaner = clearAfterwards(dir)
  return {
    dir,
    disk,
    get withoutDisks() {
      return withoutDisks
    },
    fill: (path, freeBytes) => resize(path, usedBytes(path) + freeBytes),
    widen: (path) => resize(path, DISK_BYTES),
    clear,
  }

  function disk(name: string): string {
    const path = join(dir, name)
    mkdirSync(path)
    const options = `size=${DISK_BYTES},mode=0755`
    if (withoutDisks === null && run("mount", "-t", "tmpfs", "-o", options, "tmpfs", path)) {
      disks.push(path)
    } else withoutDisks = "no file system may be mounted here"
    return path
  }

  function clear(): void {
    for (const path of disks) run("umount", "-l", path)
    rmSync(dir, { recursive: true, force: true })
    cleaner.kill()
  }
}

/** `bun test` ends without an exit event: a shell waits at its end of a pipe for the end of this process. */
function clearAfterwards(dir: string) {
  const command =
    'trap "" INT TERM; cat > /dev/null; sleep 2; umount -l "$0"/*/ 2> /dev/null; rm -rf "$0"'
  const cleaner = Bun.spawn(["sh", "-c", command, dir], {
    ...({ stdin: "pipe", stdout: "ignore", stderr: "ignore", detached: true } as const),
  })
  cleaner.unref()
  return { kill: () => cleaner.kill("SIGKILL") }
}

function usedBytes(path: string): number {
  const { blocks, bfree, bsize } = statfsSync(path)
  return (blocks - bfree) * bsize
}

function resize(path: string, bytes: number): void {
  if (run("mount", "-o", `remount,size=${bytes}`, path)) return
  throw new Error(`the disk at ${path} could not be made ${bytes} bytes large`)
}

function run(program: string, ...words: string[]): boolean {
  return spawnSync(program, words, { stdio: "ignore" }).status === 0
}

/** The clock that every Redis of a run has: its own, or null where nothing can be compiled here. */
export type Clock = {
  shift(ms: number): void
  /** Starts something with this clock for the redis-server that it starts. */
  during<Started>(start: () => Promise<Started>): Promise<Started>
}

const SOURCE = join(import.meta.dir, "clock.c")

export function createClock(dir: string): Clock | null {
  const [compiler, server] = [programOnPath("cc"), programOnPath("redis-server")]
  const [library, file] = [join(dir, "clock.so"), join(dir, "clock")]
  if (compiler === null || server === null) return null
  if (!run(compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE)) return null
  const folder = join(dir, "bin")
  mkdirSync(folder)
  const lines = [
    "#!/bin/sh",
    `FENGATE_CLOCK='${file}' LD_PRELOAD='${library}' exec '${server}' "$@"`,
  ]
  writeFileSync(join(folder, "redis-server"), `${lines.join("\n")}\n`, { mode: 0o755 })
  writeFileSync(file, Buffer.alloc(8))
  return { shift, during }

  /** In place: the servers look at these very bytes. */
  function shift(ms: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(ms))
    writeFileSync(file, bytes, { flag: "r+" })
  }

  async function during<Started>(start: () => Promise<Started>): Promise<Started> {
    const path = process.env.PATH
    process.env.PATH = `${folder}:${path}`
    try {
      return await start()
    } finally {
      process.env.PATH = path
    }
  }
}
