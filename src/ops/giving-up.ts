import { addIncident } from "../../db/queries/add-incident.ts"
import { readStop } from "../../db/queries/read-stop.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { resumePartition } from "../../db/queries/resume-partition.ts"
import { auditOf, SYSTEM } from "../audit.ts"
import { BrokenStream, type Entry, readEntries, type StreamPlace } from "../flusher/read-entries.ts"
import { streamKey } from "../ledger/keys.ts"
import { examine } from "../recovery/diagnose.ts"
import { fencePartition, recoverPartition } from "../recovery/recover.ts"
import { Refused } from "./command.ts"
import { ensureOpening } from "./rebuilding.ts"
import type { Stores } from "./stores.ts"

type GivingUp = {
  partition: number
  log(line: string): void
  /** Takes each record that is given up, as a line of JSON. */
  keep(line: string): void
}

/**
 * Builds a stopped partition anew from what Postgres has, without what could not be flushed: that is
 * told record by record, counted as lost in an incident, and gone. Answers how many records those were.
 */
export async function giveUpUnflushed(
  stores: Stores,
  { partition, log, keep }: GivingUp,
): Promise<number> {
  const { sql, redis } = stores
  const reason = await readStop(sql, partition)
  if (reason === null)
    throw new Refused(`Partition ${partition} is not stopped: nothing was given up.`)
  const found = await examine(stores, partition)
  const { watermark, claim: claimedInRedis } = found
  const claimed = await fencePartition(stores, { watermark, claimedInRedis, reason })
  const place = (await readWatermarks(sql)).find((row) => row.partition === partition) ?? watermark
  const given = await tellEntries(stores, place, keep)
  const { generation, entryNumber } = place
  await addIncident(sql, {
    ...{ partition, generation, kind: "records_lost", records: given.records },
    ...{ fromEntry: entryNumber + 1, throughEntry: given.through },
    detail: `an operator has given up ${given.records} records that could not be flushed: ${reason}`,
  })
  await redis.of(partition).unlink(streamKey(partition, generation))
  const audit = auditOf(SYSTEM, "partition.given_up", { partition, reason, records: given.records })
  await resumePartition(sql, { partition, reason, audit })
  await recoverPartition(stores, claimed, { opening: await ensureOpening(stores, partition), log })
  return given.records
}

/** Nothing is appended any more. What cannot be read is told as such, and ends it. */
async function tellEntries(
  { redis }: Stores,
  from: StreamPlace,
  keep: (line: string) => void,
): Promise<{ records: number; through: number }> {
  let place = from
  let records = 0
  for (;;) {
    const entries = await readEntries(redis, place).catch((error: unknown): Entry[] => {
      if (!(error instanceof BrokenStream)) throw error
      keep(JSON.stringify({ entry: place.entryNumber + 1, unreadable: error.message }))
      return []
    })
    const last = entries.at(-1)
    if (last === undefined) return { records, through: place.entryNumber }
    for (const { number, atMs, slot, batch, records: given } of entries) {
      const at = new Date(atMs).toISOString()
      for (const record of given)
        keep(JSON.stringify({ entry: number, at, slot, batch, ...record }))
      records += given.length
    }
    place = { ...place, entryNumber: last.number, entryId: last.id }
  }
}
