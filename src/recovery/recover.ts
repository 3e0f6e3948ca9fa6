import { addIncident } from "../../db/queries/add-incident.ts"
import { claimGeneration } from "../../db/queries/claim-generation.ts"
import { markOpen } from "../../db/queries/mark-open.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { readServicesVersion } from "../../db/queries/read-services-version.ts"
import type { Watermark } from "../../db/queries/read-watermarks.ts"
import { sumSnapshots } from "../../db/queries/sum-snapshots.ts"
import { switchGeneration } from "../../db/queries/switch-generation.ts"
import type { StreamPlace } from "../flusher/read-entries.ts"
import { randomChars } from "../ids.ts"
import { builtKey, claimKey, metaKey, streamKey } from "../ledger/keys.ts"
import { readReply } from "../ledger/run-script.ts"
import { FENCE_PARTITION_TEXT, OPEN_PARTITION_TEXT } from "../ledger/scripts.ts"
import { noteCompared } from "../ledger/server.ts"
import { buildGeneration } from "./build.ts"
import { removeGenerations } from "./clean.ts"
import { drain } from "./drain.ts"
import { readPlace } from "./places.ts"
import { LedgerRefused } from "./requirements.ts"
import type { Log, Stores } from "./stores.ts"

/**
 * Gives a partition a new generation in Redis, built from Postgres (DESIGN section 7):
 *
 * CLAIMED   Postgres has the number of the new generation. Who claims later overtakes.
 * FENCED    the generation in meta is cleared, and every script refuses.
 * DRAINED   what Redis still had is in Postgres.
 * BUILT     the keys of the new generation are there, under names that nobody reads yet.
 * SWITCHED  Postgres has ended the generation before; no flush of it can commit any more.
 * OPENED    meta names the new generation, set by a script that compares the claim, and finds all that was
 *           built.
 *
 * A crash after any of these leaves a partition that is fenced, and that the next attempt claims anew.
 * A process that was frozen in the middle and wakes up finds that its claim is not the last one: it
 * can neither switch nor open, and what it has built has a name of its own.
 */
export type Claimed = { watermark: Watermark; claim: number; reason: string | null }

type Steps = { at?(step: Step): Promise<void> }
export type Step = "claimed" | "fenced" | "drained" | "built" | "switched" | "opened"

/** CLAIMED and FENCED: quick, so that the node's other partitions may go on at once. */
export async function fencePartition(
  { redis, sql }: Stores,
  {
    watermark,
    claimedInRedis,
    reason,
  }: {
    watermark: Watermark
    claimedInRedis: number
    /** Why it is lost; null: it is new. */
    reason: string | null
  },
  { at }: Steps = {},
): Promise<Claimed> {
  const { partition, claimed } = watermark
  const claim = Math.max(claimed, claimedInRedis) + 1
  if (!(await claimGeneration(sql, { partition, from: claimed, claim }))) {
    throw new LedgerRefused(`Partition ${partition} is being opened by another process.`)
  }
  await at?.("claimed")
  const keys = [metaKey(partition), claimKey(partition)]
  const reply = readReply(
    await redis.of(partition).callBuffer("EVAL", FENCE_PARTITION_TEXT, keys.length, ...keys, claim),
  )
  if (reply.status !== "cleared") {
    throw new LedgerRefused(`Partition ${partition} could not be fenced: ${reply.status}.`)
  }
  await at?.("fenced")
  return { watermark, claim, reason }
}

/** From DRAINED to OPENED. `opening` is the one of the partition's node. */
export async function recoverPartition(
  stores: Stores,
  { watermark, claim, reason }: Claimed,
  { opening, log, at }: Steps & { opening: number; log: Log },
): Promise<void> {
  const { sql } = stores
  const { partition, generation } = watermark
  if (reason !== null) log(`ALARM partition ${partition} is built anew from Postgres: ${reason}`)
  const end = await drain(stores, { partition, generation }, log)
  await at?.("drained")
  const genesis = await beginStream(stores, { claim, end })
  const { pages } = await buildGeneration(stores, { partition, generation: claim }, log)
  await at?.("built")
  if (!(await switchGeneration(sql, { partition, from: end, claim, genesis }))) {
    throw new LedgerRefused(`Partition ${partition} is being opened by another process.`)
  }
  await at?.("switched")
  await noteCompared(stores.redis, watermark)
  await openGeneration(stores, { partition, claim, genesis, pages })
  await at?.("opened")
  const { records } = await readPlace(sql, partition)
  await markOpen(sql, { partition, generation: claim, opening, entryNumber: 0, records })
  if (reason !== null) await note(stores, { partition, generation, end, reason })
  if (generation > 0) log(`partition ${partition} is open in generation ${claim}`)
  await removeGenerations(stores.redis, { partition, current: claim, before: generation })
}

/** The first entry names the generation before and its end, so that a restored Postgres finds its way. */
async function beginStream(
  { redis }: Stores,
  { claim, end }: { claim: number; end: StreamPlace },
): Promise<string> {
  const genesis = randomChars(8)
  const { partition, generation, entryNumber, entryId } = end
  await redis
    .of(partition)
    .xadd(
      streamKey(partition, claim),
      `${claim}-0`,
      ...["id", genesis, "generation", generation, "entry", entryNumber, "prev", entryId],
    )
  return genesis
}

async function openGeneration(
  { redis, sql }: Stores,
  {
    partition,
    claim,
    genesis,
    pages,
  }: { partition: number; claim: number; genesis: string; pages: number },
): Promise<void> {
  const { partitions } = await readOpening(sql)
  const { records } = await readPlace(sql, partition)
  const { lastAtMs } = await sumSnapshots(sql, partition)
  const keys = [
    ...[metaKey(partition), streamKey(partition, claim), claimKey(partition)],
    builtKey(partition, claim),
  ]
  const reply = readReply(
    await redis
      .of(partition)
      .callBuffer(
        ...(["EVAL", OPEN_PARTITION_TEXT, keys.length, ...keys] as const),
        ...[claim, partitions, records, genesis, Math.ceil(lastAtMs)],
        ...[await readServicesVersion(sql), pages],
      ),
  )
  if (reply.status !== "opened") {
    throw new LedgerRefused(`Partition ${partition} could not be opened: ${reply.status}.`)
  }
}

/** What Redis had lost of what was flushed is in Postgres; what else it lost is told by who saw it. */
async function note(
  { sql }: Stores,
  {
    partition,
    generation,
    end,
    reason,
  }: { partition: number; generation: number; end: StreamPlace; reason: string },
): Promise<void> {
  await addIncident(sql, {
    ...{ partition, generation, kind: "redis_lost", records: null },
    ...{ fromEntry: end.entryNumber + 1, throughEntry: null, detail: reason },
  })
}
