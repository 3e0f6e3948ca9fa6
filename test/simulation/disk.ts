import type { Part } from "./scheduler.ts"
import { onStage } from "./stage.ts"

/**
 * The disk of the gateways' machine: the part of node:fs/promises that `src/ledger/revokes.ts` uses. What
 * was written outlives the process; a write takes a while, and its process may die before it is done.
 */
export type Disk = {
  files: Map<string, string>
  /** Who made each file. */
  owners: Map<string, Part | null>
  /** Files of a process that died have its number, which nobody has any more. */
  abandon(part: Part): void
}

/** Above what Linux gives a process. */
const DEAD_PID = 9_999_999

export function createDisk(): Disk {
  const files = new Map<string, string>()
  const owners = new Map<string, Part | null>()
  return {
    files,
    owners,
    abandon(part) {
      for (const [path, content] of files) {
        if (owners.get(path) !== part) continue
        files.delete(path)
        files.set(path.replace(`/${process.pid}-`, `/${DEAD_PID}-`), content)
      }
    },
  }
}

const WRITE_MS_MAX = 8

/** What a system call takes; it is done half of the way through. */
async function perform<Result>(
  call: (files: Map<string, string>, disk: Disk) => Result,
): Promise<Result> {
  const { scheduler, random, disk } = onStage()
  await scheduler.sleep(random.next() * 0.2)
  const result = call(disk.files, disk)
  await scheduler.sleep(random.next() * 0.2)
  return result
}

async function sync(): Promise<void> {
  const { scheduler, random } = onStage()
  await scheduler.sleep(random.between(0.1, WRITE_MS_MAX))
}

export async function mkdir(): Promise<void> {
  await perform(() => undefined)
}

export function readdir(dir: string): Promise<string[]> {
  return perform((files) =>
    [...files.keys()]
      .filter((path) => path.startsWith(`${dir}/`))
      .map((path) => path.slice(dir.length + 1)),
  )
}

export function readFile(path: string): Promise<string> {
  return perform((files) => {
    const content = files.get(path)
    if (content === undefined) throw new Error(`ENOENT: ${path}`)
    return content
  })
}

export async function unlink(path: string): Promise<void> {
  await perform((files) => {
    if (!files.delete(path)) throw new Error(`ENOENT: ${path}`)
  })
}

export async function open(path: string, flags: string) {
  const part = onStage().scheduler.current()
  if (flags === "w") {
    await perform((files, { owners }) => {
      files.set(path, "")
      owners.set(path, part)
    })
  }
  return {
    sync,
    datasync: sync,
    close: () => perform(() => undefined),
    truncate: () => perform((files) => files.set(path, "")),
    write: (bytes: Buffer) => perform((files) => files.set(path, bytes.toString("utf8"))),
  }
}
