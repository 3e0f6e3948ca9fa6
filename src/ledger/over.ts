import type { Sql } from "../../db/connection.ts"
import { addIncident } from "../../db/queries/add-incident.ts"
import { doubtOpening } from "../../db/queries/doubt-opening.ts"
import { noteSeen } from "../../db/queries/note-seen.ts"
import { noteSighting, type Sighting } from "../../db/queries/note-sighting.ts"
import { type OverCharge, readOverBatch } from "../../db/queries/read-over-batch.ts"
import { takeBackCharge } from "../../db/queries/take-back-charge.ts"
import { chargeId, parseAccountId, partitionOf } from "../ids.ts"
import type { RedisNodes } from "./cluster.ts"
import { keyPrefix, metaKey } from "./keys.ts"
import { type Openings, ofPartition } from "./opening.ts"
import type { Seen } from "./outcomes.ts"
import { runScript } from "./run-script.ts"

/** A batch whose callers were told 503, in a generation that is over. */
export type OverBatch = {
  partition: number
  generation: number
  slot: string
  number: number
  /** Records that were written before it was sent. */
  afterRecords: number
  /** And once it had been revoked; absent: as many as the generation had at its end. */
  throughRecords?: number | undefined
}

/** And under which opening. */
type SeenUnder = Seen & { seenOpening: number }

/** What a slot needs of the record, once its generation is over or Redis was opened anew. */
export type Past = {
  /** True once nothing of the batch stands any more; false: not known yet, ask again. */
  takeBack(batch: OverBatch): Promise<boolean>
  /** Tells the keeper what this process has seen of a generation before `opening`. */
  noteSeen(
    seen: SeenUnder & { partition: number; generation: number; opening: number },
  ): Promise<void>
  /** Leaves what this process has seen to the keeper, while nobody knows what becomes of Redis. */
  noteSighting(sighting: Sighting): Promise<void>
  /** Tells the keeper that Redis does not have what this process saw there under this very opening. */
  doubt(place: { partition: number; opening: number }): Promise<void>
  /** Tells the keeper that Redis has another entry under that number than this process has seen. */
  noteDiverged(place: { partition: number; generation: number; entryNumber: number }): Promise<void>
}

/**
 * What is left to do about a generation that is over. Its scripts run no more, and all that it wrote
 * has been drained into Postgres: there a batch is found by its slot and number, and each of its
 * charges is taken back by an instruction, unless somebody was told of it since (DESIGN section 4).
 */
export function createPast({
  redis,
  sql,
  openings,
}: {
  redis: RedisNodes
  sql: Sql
  openings: Openings
}): Past {
  return {
    takeBack,
    noteSeen: (seen) => noteSeen(sql, seen),
    noteSighting: (sighting) => noteSighting(sql, sighting),
    doubt: (place) => doubtOpening(sql, place),
    noteDiverged,
  }

  function noteDiverged({
    partition,
    generation,
    entryNumber,
  }: Parameters<Past["noteDiverged"]>[0]): Promise<void> {
    const detail = `entry ${entryNumber} of generation ${generation} is not the one that was answered: Redis went back, and went on`
    return addIncident(sql, {
      ...{ partition, generation, kind: "stream_diverged", detail, records: null },
      ...{ fromEntry: entryNumber, throughEntry: entryNumber },
    })
  }

  async function takeBack(batch: OverBatch): Promise<boolean> {
    const charges = await readOverBatch(sql, batch)
    if (charges === null) return false
    for (const charge of charges) {
      const standing = charge.digest === null ? "forgotten" : await forget(charge, charge.digest)
      if (standing === "unknown") return false
      if (standing === "told") continue
      const { accountId, seq, at } = charge
      const id = chargeId({ accountId: parseAccountId(accountId), seq, at })
      await takeBackCharge(sql, { chargeId: id, accountId, seq, at })
    }
    return true
  }

  /** Whoever repeats the request finds no result of it from then on; or was answered already. */
  async function forget(
    { accountId, seq }: OverCharge,
    digest: string,
  ): Promise<"forgotten" | "told" | "unknown"> {
    const opened = await openings.reload()
    const partition = partitionOf(parseAccountId(accountId), opened.partitions)
    const generation = ofPartition(opened.generations, partition)
    const { status } = await runScript(
      redis.of(partition),
      ofPartition(opened.scripts, partition).forgetResult,
      {
        keys: [metaKey(partition), `${keyPrefix(partition, generation)}r:${digest}`],
        args: [String(generation), String(opened.partitions), String(seq)],
      },
    )
    return status === "forgotten" || status === "told" ? status : "unknown"
  }
}
