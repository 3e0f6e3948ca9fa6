import type { Flush } from "../../db/queries/flush-batch.ts"
import { within } from "../deadline.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { metaKey, streamKey } from "../ledger/keys.ts"
import { readMeta } from "../ledger/meta.ts"
import { type Openings, ofPartition } from "../ledger/opening.ts"
import { runScript } from "../ledger/run-script.ts"
import type { Meta } from "../ledger/states.ts"
import {
  FLUSH_DEADLINE_MS,
  FLUSH_ENTRIES_MAX,
  FLUSH_INTERVAL_MS,
  FLUSH_RECORDS_FULL,
  FLUSH_RETRY_MS,
  FLUSH_STOPPED_MS,
  TAIL_ENTRIES_MAX,
  TAIL_MS,
} from "../limits.ts"
import { createChainKeys, type LoadChainKeys } from "./chain-keys.ts"
import { composeFlush, type FlushPlace } from "./compose.ts"
import { describe, isBroken } from "./failures.ts"
import { createMonths } from "./months.ts"
import { type Entry, entriesOfFlush, OtherStream, readEntries } from "./read-entries.ts"
import { createYielding } from "./yielding.ts"

/**
 * Moves the change records of one partition from its stream to Postgres, in order, each once.
 *
 * LOCATING  reads the watermark from Postgres: it alone says what has been flushed. A Postgres that was
 *           restored is filled up by the keeper first.
 * READING   reads the entries after it, and checks that they form one chain.
 * WRITING   one statement moves the watermark and writes everything. A crash here loses nothing:
 *           either all of it is committed, or the entries are still in the stream. Where the
 *           outcome is unknown, or another flusher was faster, back to LOCATING: never guess.
 * TELLING   tells meta, only after the commit, and trims what is older than the tail. A crash
 *           before it is harmless: the next one tells more.
 * HALTED    an invariant is broken. No record is skipped and none is guessed; the reason stands in
 *           `partitions.stopped_because`. Whoever finds it there, a flusher that starts later as
 *           well, stays halted until an operator has removed it; then back to LOCATING.
 *
 * Asked to stop, it goes on until nothing is left to read, and stops between TELLING and READING.
 */
export type Flusher = { stop(): Promise<void> }

/** What a flusher asks of Postgres. Whatever rejects is asked again. */
export type FlushRecord = {
  /** The watermark of a partition. */
  readPlace(partition: number): Promise<FlushPlace>
  loadChainKeys: LoadChainKeys
  /** All of a batch or nothing, if the watermark stands where it begins; null: it does not. */
  flush(flush: Flush): Promise<{ records: number } | null>
  /** Makes room for the change records of that month. Harmless where there is some. */
  ensureMonth(atMs: number): Promise<void>
  /** Tells the keeper that Redis does not have what Postgres has: it is verified anew. */
  doubt(partition: number): Promise<void>
  /** Writes down that the partition goes on only when told. */
  noteStop(stop: { partition: number; reason: string }): Promise<void>
  /** Why the partition was stopped; null: it may go on. */
  readStop(partition: number): Promise<string | null>
}

export type FlusherDeps = {
  redis: RedisNodes
  record: FlushRecord
  openings: Openings
  partition: number
  log(message: string): void
}

const FLUSH = { timeoutMs: FLUSH_DEADLINE_MS, what: "Postgres" }

type Read = { entries: Entry[]; flush: Flush | null }
type Prepared = { after: number; reading: Promise<Read> }
type Flushed = { entryNumber: number; atMs: number }

export function startFlusher(deps: FlusherDeps): Flusher {
  const { redis, record, openings, partition, log } = deps
  let isStopping = false
  let isDone = false
  let wake: () => void = () => undefined
  const months = createMonths((atMs) => within(record.ensureMonth(atMs), FLUSH))
  const yielding = createYielding()
  const chainKeys = createChainKeys((ids) => within(record.loadChainKeys(ids), FLUSH))
  let entriesMax = FLUSH_ENTRIES_MAX
  /** What is read and composed while Postgres still writes what stands before it. */
  let ahead: Prepared | null = null
  /** Flushed entries that are still in the stream of this generation, oldest first. */
  let tail: Flushed[] = []
  let tailOf = 0
  /** Redis does not have what Postgres has. */
  let isAhead = false
  const running = run()
  return { stop }

  async function run(): Promise<void> {
    let place: FlushPlace | null = null
    while (!isDone) {
      try {
        place ??= await locate()
        if (place !== null) place = await step(place)
      } catch (error) {
        place = null
        ahead = null
        isDone = isStopping
        await recover(error)
      }
    }
  }

  /** Reads and writes one batch. Answers the new place, or null where it has to be looked up. */
  async function step(place: FlushPlace): Promise<FlushPlace | null> {
    const startedAt = performance.now()
    // An answer that was on its way when it was asked to stop says nothing of what came since.
    const isLast = isStopping && ahead === null
    const { entries, flush } = await takeNext(place)
    if (flush === null) {
      isDone = isLast
      await pause(FLUSH_INTERVAL_MS)
      const meta = await readMeta(redis, partition)
      // Where the generation is over, Postgres says which one goes on.
      if (meta !== null && meta.generation !== place.generation) return null
      // What was told last did not arrive.
      if (meta !== null && meta.entryFlushed < place.entryNumber) await tell(place, [])
      return place
    }
    await months.ensure(entries)
    const isBehind = flush.recordCount >= FLUSH_RECORDS_FULL
    const writing = within(record.flush(flush), FLUSH)
    if (isBehind) prepare({ ...place, ...flush.to })
    const flushed = await writing
    if (flushed === null) {
      ahead = null
      months.clear()
      await pause(FLUSH_RETRY_MS)
      return null
    }
    const next = { ...place, ...flush.to }
    await tell(next, entries)
    const spentMs = performance.now() - startedAt
    if (!isBehind) await pause(FLUSH_INTERVAL_MS - spentMs)
    else await pause(yielding.pauseMs({ spentMs, ...(await readProgress()) }))
    return next
  }

  function takeNext(place: FlushPlace): Promise<Read> {
    const prepared = ahead
    ahead = null
    return prepared?.after === place.entryNumber ? prepared.reading : read(place)
  }

  async function read(place: FlushPlace): Promise<Read> {
    const entries = await readEntries(redis, place, entriesMax)
    if (entries.length > 0) entriesMax = entriesOfFlush(entries)
    if (entries.length === 0) return { entries, flush: null }
    return { entries, flush: composeFlush(place, entries, await chainKeys.of(entries)) }
  }

  /** Only where there is much to do: it makes Redis, this process and Postgres work at once. */
  function prepare(place: FlushPlace): void {
    const reading = read(place)
    // Whoever takes it learns of its failure; nobody may ever take it.
    reading.catch(() => undefined)
    ahead = { after: place.entryNumber, reading }
  }

  async function readProgress(): Promise<{ behind: number; written: number }> {
    const meta = await readMeta(redis, partition)
    if (meta === null) return { behind: 0, written: 0 }
    return { behind: meta.written - meta.flushed, written: meta.written }
  }

  /** Null where the partition was stopped, or may not go on yet: it is looked up again. */
  async function locate(): Promise<FlushPlace | null> {
    const reason = await within(record.readStop(partition), FLUSH)
    if (reason !== null) {
      await halt(reason)
      return null
    }
    // Before the watermark: a flush in between only raises that.
    const meta = await readMeta(redis, partition)
    const place = await within(record.readPlace(partition), FLUSH)
    if (meta === null || !isRestored(place, meta)) return place
    isDone = isStopping
    await pause(FLUSH_RETRY_MS)
    return null
  }

  /** Meta learns how far Postgres is; failing to tell it costs nothing, the next flush tells more. */
  async function tell(place: FlushPlace, entries: readonly Entry[]): Promise<void> {
    if (tailOf !== place.generation) tail = []
    tailOf = place.generation
    for (const { number, atMs } of entries) tail.push({ entryNumber: number, atMs })
    const opened = openings.current() ?? (await openings.reload())
    const { acknowledge } = ofPartition(opened.scripts, partition)
    const reply = await runScript(redis.of(partition), acknowledge, {
      keys: [metaKey(partition), streamKey(partition, place.generation)],
      args: [
        String(place.generation),
        String(place.entryNumber),
        String(place.records),
        String(takeTrim()),
      ],
    })
    if (reply.status === "unscripted") await openings.reload()
    // No invariant of Postgres is broken: the keeper builds anew what such a Redis has.
    if (reply.status === "ahead" && !isAhead) {
      log(`ALARM partition ${partition}: Postgres has entries that this Redis never had`)
    }
    isAhead = reply.status === "ahead"
  }

  /** The last flushed entry that the tail need not keep; 0 where there is none. */
  function takeTrim(): number {
    const oldest = Date.now() - TAIL_MS
    let trim = 0
    let keepFrom = 0
    for (const { entryNumber, atMs } of tail) {
      if (atMs >= oldest && tail.length - keepFrom <= TAIL_ENTRIES_MAX) break
      trim = entryNumber
      keepFrom++
    }
    tail.splice(0, keepFrom)
    return trim
  }

  async function recover(error: unknown): Promise<void> {
    const reason = describe(error)
    months.clear()
    if (isBroken(error)) return halt(reason, { isNoted: false })
    // Once it is past where Postgres ends, nobody else sees it.
    if (error instanceof OtherStream) await within(record.doubt(partition), FLUSH).catch(() => {})
    log(`partition ${partition}: flushing pauses: ${reason}`)
    await pause(FLUSH_RETRY_MS)
  }

  /** Returns when the reason was removed from where it stands, or when it is asked to stop. */
  async function halt(reason: string, { isNoted } = { isNoted: true }): Promise<void> {
    log(`ALARM partition ${partition}: flushing is halted: ${reason}`)
    for (let isHalted = true; isHalted; ) {
      try {
        if (!isNoted) await within(record.noteStop({ partition, reason }), FLUSH)
        isNoted = true
        isHalted = (await within(record.readStop(partition), FLUSH)) !== null
      } catch {
        // Postgres is away: it stays halted, and looks again.
      }
      if (isStopping) isDone = true
      if (isDone) return
      if (isHalted) await pause(FLUSH_STOPPED_MS)
    }
    log(`partition ${partition}: flushing goes on, as it was told`)
  }

  function pause(ms: number): Promise<void> {
    if (isStopping || ms <= 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async function stop(): Promise<void> {
    isStopping = true
    wake()
    await running
  }
}

/**
 * Whether Postgres lacks what it had told Redis. It is for the keeper to fill it up, because the account
 * plane must wait for that: what is flushed alone tells nobody which instructions were made (DESIGN
 * section 7, "Postgres went back").
 */
function isRestored(place: FlushPlace, meta: Meta): boolean {
  if (meta.generation !== place.generation) return meta.generation > place.generation
  return meta.entryFlushed > place.entryNumber
}
