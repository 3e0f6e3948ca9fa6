import type { Redis } from "ioredis"
import type { Sql } from "../../db/connection.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { streamKey } from "../../src/ledger/keys.ts"
import { decodeRecords } from "../../src/ledger/records.ts"

/** A record that a Redis had which then lost it, or may have. */
export type Evidence = {
  /** When it went: the first, second … time that something did. */
  time: number
  partition: number
  generation: number
  entry: number
  accountId: string
  seq: number
  atMs: number
  amountFen: number
  /** By which the journal knows it. */
  names: readonly string[]
}

export type Place = { partition: number; generation: number; entryNumber: number }

export async function readPlaces(sql: Sql): Promise<Place[]> {
  return await readWatermarks(sql)
}

/** Reads what this Redis has after the places, past every relay, so that nobody believes it for that. */
export async function readEvidence(redis: Redis, places: readonly Place[]): Promise<Evidence[]> {
  const time = ++times
  const found = await Promise.all(
    places.map(async (place) => ({ place, entries: await redis.xrangeBuffer(...rangeOf(place)) })),
  )
  return found.flatMap(({ place, entries }) => evidenceOf({ ...place, time }, entries))
}

/** The same, and in the same atomic step everything is deleted. */
export async function readAndFlushAll(redis: Redis, places: readonly Place[]): Promise<Evidence[]> {
  const time = ++times
  const transaction = redis.multi()
  for (const place of places) transaction.xrangeBuffer(...rangeOf(place))
  const answers = (await transaction.flushall().exec()) ?? []
  return places.flatMap((place, i) => {
    const [error, entries] = answers[i] ?? [new Error("no answer"), null]
    if (error !== null || !isEntries(entries)) throw new Error("the stream could not be read")
    return evidenceOf({ ...place, time }, entries)
  })
}

let times = 0

type Entries = [Buffer, Buffer[]][]

function isEntries(answer: unknown): answer is Entries {
  return Array.isArray(answer)
}

function rangeOf({ partition, generation, entryNumber }: Place) {
  return [streamKey(partition, generation), `(${generation}-${entryNumber}`, "+"] as const
}

function evidenceOf(
  { partition, generation, time }: Place & { time: number },
  entries: Entries,
): Evidence[] {
  return entries.flatMap(([position, fields]) => {
    const text = position.toString("latin1")
    const entry = Number(text.slice(text.indexOf("-") + 1))
    const field = (name: string) =>
      fields[fields.findIndex((each) => each.equals(Buffer.from(name))) + 1]
    const records = field("records")
    if (records === undefined) return []
    const atMs = Number(field("at")?.toString("latin1"))
    return decodeRecords(records).flatMap((record) => {
      const { type, accountId, seq, amountFen } = record
      // One without money leaves no change record.
      if (type === 0) return []
      const names = namesOf(record)
      return [{ time, partition, generation, entry, accountId, seq, atMs, amountFen, names }]
    })
  })
}

export function namesOf({
  description,
  requestId,
}: {
  description: string
  requestId: string | null
}): readonly string[] {
  return requestId === null ? [description] : [description, requestId]
}
