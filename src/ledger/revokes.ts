import {
  type FileHandle,
  mkdir,
  open as openFile,
  readdir,
  readFile,
  unlink,
} from "node:fs/promises"
import { join } from "node:path"
import { type Static, Type } from "@sinclair/typebox"
import { Value } from "@sinclair/typebox/value"
import { randomChars } from "../ids.ts"
import { SETTLE_RETRY_MS } from "../limits.ts"
import { type NumberedBatch, sendCloseSlot, sendRevoke } from "./attempts.ts"
import type { RedisNodes } from "./cluster.ts"
import type { Openings } from "./opening.ts"
import type { Past } from "./over.ts"

/**
 * What must outlive a gateway process: its slot in each partition, and the batch whose callers are
 * about to be told 503. Before they are, the revoke of that batch is in its file and synced; so when
 * the process dies then, whoever starts next on the same directory carries it out (DESIGN section 4).
 */

const Order = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  accounts: Type.Array(Type.String()),
  others: Type.Array(Type.String()),
  /** Base64. */
  items: Type.String(),
  /** Records that were written before the batch was sent. */
  afterRecords: Type.Optional(Type.Integer({ minimum: 0 })),
})
const SlotFile = Type.Object({
  partition: Type.Integer({ minimum: 0 }),
  generation: Type.Integer({ minimum: 1 }),
  slot: Type.String({ minLength: 1 }),
  revoke: Type.Union([Order, Type.Null()]),
})
type SlotFile = Static<typeof SlotFile>

/** The file of one slot; one at a time is written to it. */
export type RevokeFile = {
  /** Notes the slot, and that none of its batches is to be revoked. */
  open(place: Pick<SlotFile, "partition" | "generation" | "slot">): Promise<void>
  /** Resolves when the order is on the disk. */
  write(order: NumberedBatch): Promise<void>
  /** `isKept`: for the next start. Otherwise the slot is closed, and nobody needs to know of it. */
  close(options: { isKept: boolean }): Promise<void>
}

const SUFFIX = ".slot.json"
/** The files of this process, which may have the number of one that ended. */
const ours = new Set<string>()

/** Makes the file, and its directory. Rejects where the directory cannot be written to. */
export async function createRevokeFile(dir: string, partition: number): Promise<RevokeFile> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const path = join(dir, `${process.pid}-${randomChars(8)}-${partition}${SUFFIX}`)
  ours.add(path)
  const file = await openFile(path, "w", 0o600)
  await file.sync()
  await syncDirectory(dir)
  let writing = Promise.resolve()
  const write = (content: SlotFile): Promise<void> => {
    writing = writing.catch(() => undefined).then(() => overwrite(file, content))
    return writing
  }
  return {
    open: (place) => write({ ...place, revoke: null }),
    write: ({ items, number, accounts, others, afterRecords, generation, slot }) => {
      const names = { accounts: [...accounts], others: [...others] }
      const revoke = { number, ...names, items: items.toString("base64"), afterRecords }
      return write({ partition, generation, slot, revoke })
    },
    async close({ isKept }) {
      await file.close()
      if (!isKept) await unlink(path)
      ours.delete(path)
    },
  }
}

/** The file's name was synced when it was made, so that its bytes are all that is left to sync. */
async function overwrite(file: FileHandle, content: SlotFile): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(content)}\n`)
  await file.truncate(0)
  await file.write(bytes, 0, bytes.length, 0)
  await file.datasync()
}

/** After it a file that was made in the directory is found there, whatever happens. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await openFile(dir, "r")
  await handle.sync()
  await handle.close()
}

type Deps = { redis: RedisNodes; openings: Openings; past: Past; log(message: string): void }

/**
 * Carries out what processes that ended here have left: revokes their batch, then closes their slot.
 * Resolves when all of it is done; repeats what Redis does not answer until `isStopping`.
 */
export async function settleLeftovers(
  dir: string,
  deps: Deps & { isStopping(): boolean },
): Promise<void> {
  const names = await readdir(dir).catch(() => [])
  const left = names.filter((name) => name.endsWith(SUFFIX) && !isInUse(dir, name))
  await Promise.all(
    left.map(async (name) => {
      const path = join(dir, name)
      const content = readSlotFile(await readFile(path, "utf8").catch(() => ""))
      for (;;) {
        const outcome = content === null ? "settled" : await settle(content, deps)
        if (outcome === "settled") return await unlink(path).catch(() => undefined)
        if (deps.isStopping()) return
        await Bun.sleep(SETTLE_RETRY_MS)
      }
    }),
  )
}

/** Null where the process ended before it had a slot, or while it wrote: then no 503 went out. */
function readSlotFile(text: string): SlotFile | null {
  try {
    const content: unknown = JSON.parse(text)
    return Value.Check(SlotFile, content) ? content : null
  } catch {
    return null
  }
}

/** What Redis knows of a generation that is over stands in the record. */
async function settle(
  content: SlotFile,
  { redis, openings, past, log }: Deps,
): Promise<"settled" | "unknown"> {
  const { partition, generation, slot, revoke } = content
  const opened = await openings.reload().catch(() => null)
  if (opened === null) return "unknown"
  const place = { partition, generation, slot }
  // Also of a partition that there was before their number was changed.
  if (opened.generations[partition] !== generation) {
    if (revoke === null) return "settled"
    const batch = { ...place, number: revoke.number, afterRecords: revoke.afterRecords ?? 0 }
    if (!(await past.takeBack(batch).catch(() => false))) return "unknown"
    log(`partition ${partition}: batch ${revoke.number} of generation ${generation} is taken back`)
    return "settled"
  }
  if (revoke !== null) {
    const items = Buffer.from(revoke.items, "base64")
    const { status } = await sendRevoke(redis, opened, {
      ...{ afterRecords: 0, ...place, ...revoke, items },
    })
    if (status === "revoked" || status === "barred") {
      log(`partition ${partition}: batch ${revoke.number} of a process that ended is revoked`)
    } else if (status !== "slot_closed" && status !== "ahead") return "unknown"
  }
  const { status } = await sendCloseSlot(redis, opened, { ...place, settled: null })
  return status === "closed" ? "settled" : "unknown"
}

function isInUse(dir: string, name: string): boolean {
  const pid = Number.parseInt(name, 10)
  if (pid === process.pid) return ours.has(join(dir, name))
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}
