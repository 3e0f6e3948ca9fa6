import { mkdir, open as openFile, readFile } from "node:fs/promises"
import { join } from "node:path"
import { codeOf } from "../embedded/processes.ts"
import { syncDirectory } from "../ledger/revokes.ts"

/**
 * Anchors: where the hash chain of a partition stood, written down outside of the database, a line each
 * in `partition-N.jsonl`. Who rewrites the records, and the chain with them, cannot rewrite these, least
 * of all where they are sent on to another machine or lie on a file that can only be appended to.
 */
export type Anchor = {
  partition: number
  /** Of the partition over all time, and the head of its chain with them. */
  records: number
  /** Hex. */
  head: string
  /** ISO 8601. */
  at: string
}

/** Where a chain stands. */
type ChainEnd = { partition: number; records: number; chainHead: string }

const ANCHOR_LINE =
  /^\{"partition":(\d{1,9}),"records":(\d{1,15}),"head":"([0-9a-f]{64})","at":"([0-9T:.Z-]+)"\}$/

export function anchorsDirOf(dataDir: string): string {
  return join(dataDir, "anchors")
}

/** Appends to the files in `dir` wherever a chain has moved since the last line. */
export function createAnchors({
  dir,
  readEnds,
}: {
  dir: string
  readEnds(): Promise<readonly ChainEnd[]>
}) {
  const last = new Map<number, string>()
  return { append }

  /** Resolves when the lines are on the disk. */
  async function append(): Promise<void> {
    for (const { partition, records, chainHead: head } of await readEnds()) {
      // Without a record in it a chain says nothing.
      if (head === "" || (await lastHead(partition)) === head) continue
      const at = new Date().toISOString()
      await appendLine(dir, partition, JSON.stringify({ partition, records, head, at }))
      last.set(partition, head)
    }
  }

  async function lastHead(partition: number): Promise<string> {
    const known = last.get(partition)
    if (known !== undefined) return known
    return (await readAnchors(dir, partition)).at(-1)?.head ?? ""
  }
}

/**
 * The anchors of one partition, in the order in which they were made; none where there is no file. A line
 * that cannot be read says nothing: the power may have failed while it was written.
 */
export async function readAnchors(dir: string, partition: number): Promise<Anchor[]> {
  const text = await readFile(fileOf(dir, partition), "utf8").catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return ""
    throw error
  })
  return text.split("\n").flatMap((line) => {
    const [, named, records, head, at] = ANCHOR_LINE.exec(line) ?? []
    if (head === undefined || at === undefined || Number(named) !== partition) return []
    return [{ partition, records: Number(records), head, at }]
  })
}

async function appendLine(dir: string, partition: number, line: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const file = await openFile(fileOf(dir, partition), "a+", 0o600)
  try {
    const { size } = await file.stat()
    const last = Buffer.from("\n")
    if (size > 0) await file.read(last, 0, 1, size - 1)
    // What was torn off stays a line of its own.
    await file.appendFile(`${last.toString() === "\n" ? "" : "\n"}${line}\n`)
    await file.sync()
    if (size === 0) await syncDirectory(dir)
  } finally {
    await file.close()
  }
}

function fileOf(dir: string, partition: number): string {
  return join(dir, `partition-${partition}.jsonl`)
}
