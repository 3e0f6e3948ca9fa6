import type { addIncident } from "../../../db/queries/add-incident.ts"
import type { forgetSighting } from "../../../db/queries/forget-sighting.ts"
import type { handleLoss } from "../../../db/queries/handle-loss.ts"
import type { listDistrusted } from "../../../db/queries/list-distrusted.ts"
import type { listLosses, SeenBefore } from "../../../db/queries/list-losses.ts"
import type { listSightings } from "../../../db/queries/list-sightings.ts"
import type { noteSeen } from "../../../db/queries/note-seen.ts"
import type { noteSighting, Sighting } from "../../../db/queries/note-sighting.ts"
import { findGeneration, type PostgresState, partitionOf, type StandIn } from "./state.ts"

/** What processes have seen and Redis does not have, and what became of it. */
export function createLosses(state: () => PostgresState) {
  const seen: StandIn<typeof noteSeen> = (note) => {
    const now = state()
    const { partition, generation, opening, seenOpening } = note
    const row = partitionOf(now, partition)
    const over = findGeneration(now, note)
    const hadEntry = over?.lastEntry ?? row.openedEntry
    const hadRecords = over?.lastRecords ?? row.openedRecords
    const known = now.losses.find(
      (loss) =>
        loss.partition === partition &&
        loss.generation === generation &&
        loss.opening === opening &&
        loss.seenOpening === seenOpening,
    )
    if (known === undefined) {
      now.losses.push({ ...note, hadEntry, hadRecords, isHandled: false })
      return
    }
    const hadLostNothing = known.entryNumber <= known.hadEntry
    const isLater = note.entryNumber > known.entryNumber
    if (!isLater && !(hadLostNothing && note.entryNumber > hadEntry)) return
    if (hadLostNothing) {
      known.hadEntry = over?.lastEntry ?? known.hadEntry
      known.hadRecords = over?.lastRecords ?? known.hadRecords
    }
    known.entryNumber = Math.max(known.entryNumber, note.entryNumber)
    known.records = Math.max(known.records, note.records)
    known.isHandled = false
  }
  const list: StandIn<typeof listLosses> = () =>
    state()
      .losses.filter(({ isHandled }) => !isHandled)
      .toSorted(
        (a, b) =>
          a.partition - b.partition ||
          a.generation - b.generation ||
          a.opening - b.opening ||
          a.seenOpening - b.seenOpening,
      )
      .map((loss) => {
        const first = isLoss(loss) ? firstLoss(state(), loss) : undefined
        const { hadEntry, hadRecords } = first ?? loss
        return { ...loss, hadEntry, hadRecords }
      })
  const handle: StandIn<typeof handleLoss> = (done) => {
    for (const loss of state().losses) {
      const { partition, generation, opening, seenOpening, entryNumber } = loss
      const isSame = partition === done.partition && generation === done.generation
      const isUnderSame = opening === done.opening && seenOpening === done.seenOpening
      if (isSame && isUnderSame && entryNumber === done.entryNumber) loss.isHandled = true
    }
  }
  const distrusted: StandIn<typeof listDistrusted> = () =>
    state().partitions.flatMap(({ partition, generation }) => {
      const found = state().incidents.find(
        (incident) =>
          incident.partition === partition &&
          incident.generation === generation &&
          (incident.kind === "records_lost" || incident.kind === "stream_diverged"),
      )
      return found === undefined ? [] : [{ partition, detail: found.detail }]
    })
  const add: StandIn<typeof addIncident> = (incident) => {
    const { partition, generation, kind, fromEntry } = incident
    // Two that are about no entries are never the same: null is not null.
    const known = state().incidents.find(
      (other) =>
        other.partition === partition &&
        other.generation === generation &&
        other.kind === kind &&
        fromEntry !== null &&
        other.fromEntry === fromEntry,
    )
    if (known === undefined) state().incidents.push({ ...incident })
    else if ((incident.throughEntry ?? 0) > (known.throughEntry ?? Number.POSITIVE_INFINITY)) {
      const { throughEntry, records, detail } = incident
      Object.assign(known, { throughEntry, records, detail })
    }
  }
  return {
    ...createSightings(state),
    noteSeen: seen,
    listLosses: list,
    handleLoss: handle,
    listDistrusted: distrusted,
    addIncident: add,
  }
}

function createSightings(state: () => PostgresState) {
  const isOf = (of: Omit<Sighting, "entryNumber" | "records">) => (one: Sighting) =>
    one.partition === of.partition && one.generation === of.generation && one.opening === of.opening
  const note: StandIn<typeof noteSighting> = (sighting) => {
    const known = state().sightings.find(isOf(sighting))
    if (known === undefined) state().sightings.push({ ...sighting })
    else if (sighting.entryNumber > known.entryNumber) Object.assign(known, sighting)
  }
  const list: StandIn<typeof listSightings> = () =>
    state().sightings.flatMap((sighting) => {
      const { isOpen, opening, generation } = partitionOf(state(), sighting.partition)
      const isOver = opening === sighting.opening && generation > sighting.generation
      const isDue = isOpen && (opening > sighting.opening || isOver)
      return isDue ? [{ ...sighting, nextOpening: opening }] : []
    })
  const forget: StandIn<typeof forgetSighting> = (compared) => {
    const isCompared = isOf(compared)
    state().sightings = state().sightings.filter(
      (one) => !isCompared(one) || one.entryNumber !== compared.entryNumber,
    )
  }
  return { noteSighting: note, listSightings: list, forgetSighting: forget }
}

function isLoss({ entryNumber, hadEntry }: SeenBefore): boolean {
  return entryNumber > hadEntry
}

function firstLoss(state: PostgresState, loss: SeenBefore): SeenBefore | undefined {
  const { partition, generation, seenOpening } = loss
  return state.losses
    .filter((other) => other.partition === partition && other.generation === generation)
    .filter((other) => isLoss(other) && other.opening > seenOpening)
    .toSorted((left, right) => left.opening - right.opening)[0]
}
