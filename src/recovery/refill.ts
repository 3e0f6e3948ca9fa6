import { addIncident } from "../../db/queries/add-incident.ts"
import { adoptGeneration } from "../../db/queries/adopt-generation.ts"
import { finishRefill } from "../../db/queries/finish-refill.ts"
import type { Watermark } from "../../db/queries/read-watermarks.ts"
import { setRefilling } from "../../db/queries/set-refilling.ts"
import { streamKey } from "../ledger/keys.ts"
import { readMeta } from "../ledger/meta.ts"
import { noteCompared } from "../ledger/server.ts"
import type { Meta } from "../ledger/states.ts"
import { drain } from "./drain.ts"
import { readPlace } from "./places.ts"
import { LedgerRefused } from "./requirements.ts"
import type { Log, Stores } from "./stores.ts"

/**
 * Fills up a Postgres that was restored to an earlier moment, from the streams that Redis keeps: it is
 * never Redis that is built anew then (DESIGN section 7). Charges go on; nothing is instructed until
 * Postgres has all again. Rejects with `LedgerRefused` where the streams do not reach back far enough.
 */
export async function refill(
  stores: Stores,
  { watermark, meta, reason }: { watermark: Watermark; meta: Meta; reason: string | null },
  log: Log,
): Promise<Meta> {
  const { sql } = stores
  const { partition, isRefilling } = watermark
  if (!isRefilling) await setRefilling(sql, partition)
  if (!isRefilling && reason !== null) {
    log(`ALARM partition ${partition}: Postgres was restored, and is filled up again: ${reason}`)
    await noteBack(sql, { watermark, meta, reason })
  }
  let place = await drain(stores, throughOf(watermark, meta), log)
  while (place.generation < meta.generation) {
    await adoptNext(stores, place, meta.generation)
    place = await drain(stores, throughOf(await readPlace(sql, partition), meta), log)
  }
  return await finishIfFilled(stores, { watermark, reason }, log)
}

function noteBack(
  sql: Stores["sql"],
  { watermark, meta, reason }: { watermark: Watermark; meta: Meta; reason: string },
): Promise<void> {
  const { partition, generation, entryNumber } = watermark
  return addIncident(sql, {
    ...{ partition, generation, kind: "postgres_back", records: null, detail: reason },
    ...{ fromEntry: entryNumber + 1, throughEntry: meta.entryFlushed },
  })
}

/**
 * A generation that is over has an end; the one that runs is the flusher's again, from there on. What was
 * written and not flushed is filled up too: a code may have been redeemed there, which must count as such.
 */
function throughOf({ partition, generation }: Watermark, meta: Meta) {
  if (generation < meta.generation) return { partition, generation }
  return { partition, generation, through: meta.entryNumber }
}

/** Once Postgres has what it had told Redis, the account plane may go on. */
async function finishIfFilled(
  { redis, sql }: Stores,
  { watermark, reason }: { watermark: Watermark; reason: string | null },
  log: Log,
): Promise<Meta> {
  const { partition } = watermark
  const meta = await readMeta(redis, partition)
  const place = await readPlace(sql, partition)
  const isAbove = meta?.generation !== place.generation || place.entryNumber < meta.entryFlushed
  if (meta === null || isAbove) {
    throw new LedgerRefused(
      `Postgres lacks records of partition ${partition} that Redis keeps no more: restore a later backup of Postgres.`,
    )
  }
  // What stood in a Postgres that nobody calls restored was looked at when it came.
  const after = reason === null && !watermark.isRefilling ? watermark.records : 0
  const { lost } = await finishRefill(sql, { partition, after })
  if (lost > 0 && reason === null) {
    const detail = `it did not know of ${lost} redemptions that are paid out`
    log(`ALARM partition ${partition}: Postgres was restored, and is filled up again: ${detail}`)
    await noteBack(sql, { watermark, meta, reason: detail })
  }
  await noteCompared(redis, watermark)
  log(`partition ${partition}: Postgres has all records`)
  return meta
}

/** The generation after the one at `place`: its first entry names the last of that one. */
async function adoptNext(
  { redis, sql }: Stores,
  place: { partition: number; generation: number; entryNumber: number; entryId: string },
  highest: number,
): Promise<void> {
  const { partition } = place
  for (let generation = place.generation + 1; generation <= highest; generation++) {
    const at = `${generation}-0`
    const [genesis] = await redis.of(partition).xrange(streamKey(partition, generation), at, at)
    if (genesis === undefined) continue
    const fields = genesis[1]
    const value = (name: string) => fields[fields.indexOf(name, 0) + 1] ?? ""
    const follows =
      Number(value("generation")) === place.generation &&
      Number(value("entry")) === place.entryNumber &&
      value("prev") === place.entryId
    if (!follows) break
    const next = { partition, from: place, generation, genesis: value("id") }
    if (await adoptGeneration(sql, next)) return
  }
  throw new LedgerRefused(
    `Postgres knows of generation ${place.generation} of partition ${partition}, entry ${place.entryNumber}, and Redis keeps nothing that follows it: restore a later backup of Postgres.`,
  )
}
