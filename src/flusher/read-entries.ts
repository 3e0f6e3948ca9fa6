import type { RedisNodes } from "../ledger/cluster.ts"
import { streamKey } from "../ledger/keys.ts"
import { readEntryId } from "../ledger/meta.ts"
import { decodeRecords, type LedgerRecord } from "../ledger/records.ts"
import { FLUSH_ENTRIES_MAX, FLUSH_RECORDS_MAX } from "../limits.ts"

/** One entry of the stream: the changes of one script call. */
export type Entry = {
  number: number
  id: string
  previousId: string
  /** Slot and number of the batch that wrote it; empty and 0 for instructions. */
  slot: string
  batch: number
  atMs: number
  records: LedgerRecord[]
}

/** The stream is not what the scripts write: nothing of it may be skipped, and nobody may guess. */
export class BrokenStream extends Error {}

/**
 * What Redis has does not begin where Postgres ends: it went back, and on by another way. It is for the
 * keeper to end this generation (DESIGN section 7).
 */
export class OtherStream extends BrokenStream {}

export type StreamPlace = {
  partition: number
  generation: number
  entryNumber: number
  entryId: string
}

/**
 * Reads the entries after `place`, in order, up to FLUSH_RECORDS_MAX records and `entriesMax` entries.
 * Callers may rely on: numbers without a gap, and each entry naming the one before it. Throws
 * `BrokenStream` otherwise, or `OtherStream` where Redis does not have the very entry at `place` any more.
 */
export async function readEntries(
  redis: RedisNodes,
  place: StreamPlace,
  entriesMax: number = FLUSH_ENTRIES_MAX,
): Promise<Entry[]> {
  const { partition, generation, entryNumber } = place
  const found = await redis
    .of(partition)
    .xrangeBuffer(
      streamKey(partition, generation),
      `(${generation}-${entryNumber}`,
      "+",
      "COUNT",
      entriesMax,
    )
  const entries: Entry[] = []
  let [number, id, records] = [place.entryNumber, place.entryId, 0]
  for (const [position, fields] of found) {
    const entry = decodeEntry(position.toString("latin1"), fields)
    if (entry.number !== number + 1 || entry.previousId !== id) {
      const isOther = number === entryNumber && (await readEntryId(redis, place)) !== id
      const detail = `entry ${entry.number} of generation ${generation} does not follow entry ${number}`
      throw isOther ? new OtherStream(detail) : new BrokenStream(detail)
    }
    records += entry.records.length
    if (records > FLUSH_RECORDS_MAX) break
    entries.push(entry)
    number = entry.number
    id = entry.id
  }
  return entries
}

function decodeEntry(position: string, fields: Buffer[]): Entry {
  const field = new Map<string, Buffer>()
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [name, value] = [fields[i], fields[i + 1]]
    if (name !== undefined && value !== undefined) field.set(name.toString("latin1"), value)
  }
  const bytes = (name: string): Buffer => {
    const value = field.get(name)
    if (value === undefined) throw new BrokenStream(`entry ${position} has no ${name}`)
    return value
  }
  const text = (name: string) => bytes(name).toString("latin1")
  try {
    return {
      number: Number(position.slice(position.indexOf("-") + 1)),
      id: text("id"),
      previousId: text("prev"),
      slot: text("slot"),
      batch: Number(text("batch")),
      atMs: Number(text("at")),
      records: decodeRecords(bytes("records")),
    }
  } catch (error) {
    throw new BrokenStream(`entry ${position} cannot be read`, { cause: error })
  }
}

/**
 * How many entries of the size of these make a full flush: where batches are large, whatever is read
 * beyond it is read again.
 */
export function entriesOfFlush(entries: readonly Entry[]): number {
  const records = entries.reduce((sum, entry) => sum + entry.records.length, 0)
  if (records === 0) return FLUSH_ENTRIES_MAX
  const needed = Math.ceil((FLUSH_RECORDS_MAX * entries.length) / records) + 1
  return Math.min(FLUSH_ENTRIES_MAX, needed)
}
