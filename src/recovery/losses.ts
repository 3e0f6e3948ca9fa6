import { addIncident } from "../../db/queries/add-incident.ts"
import { forgetSighting } from "../../db/queries/forget-sighting.ts"
import { handleLoss } from "../../db/queries/handle-loss.ts"
import { listDistrusted } from "../../db/queries/list-distrusted.ts"
import { listLosses, type SeenBefore } from "../../db/queries/list-losses.ts"
import { listSightings } from "../../db/queries/list-sightings.ts"
import { noteSeen } from "../../db/queries/note-seen.ts"
import type { Log, Stores } from "./stores.ts"

/**
 * Counts what a Redis lost that it had answered: each process notes the highest entry that it has seen
 * once it learns of a later opening, and here it is compared with what was there then. Answers, by
 * partition, why its generation is not to be believed any more.
 */
export async function countLosses({ sql }: Stores, log: Log): Promise<ReadonlyMap<number, string>> {
  for (const { nextOpening, ...sighting } of await listSightings(sql)) {
    await noteSeen(sql, { ...sighting, seenOpening: sighting.opening, opening: nextOpening })
    await forgetSighting(sql, sighting)
  }
  for (const seen of await listLosses(sql)) {
    if (seen.entryNumber > seen.hadEntry) {
      const { partition, generation, hadEntry, entryNumber } = seen
      const detail = describe(seen)
      log(`ALARM partition ${partition}: ${detail}`)
      await addIncident(sql, {
        ...{ partition, generation, kind: "records_lost", detail },
        ...{ fromEntry: hadEntry + 1, throughEntry: entryNumber },
        records: seen.records - seen.hadRecords,
      })
    }
    await handleLoss(sql, seen)
  }
  return new Map((await listDistrusted(sql)).map(({ partition, detail }) => [partition, detail]))
}

function describe({ generation, entryNumber, hadEntry, records, hadRecords }: SeenBefore): string {
  return `Redis has lost ${records - hadRecords} records that it had answered: entries ${hadEntry + 1} to ${entryNumber} of generation ${generation}`
}
