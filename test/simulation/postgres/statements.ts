import type { adoptGeneration } from "../../../db/queries/adopt-generation.ts"
import type { claimGeneration } from "../../../db/queries/claim-generation.ts"
import type { createLedgerRows } from "../../../db/queries/create-ledger.ts"
import type { doubtOpening } from "../../../db/queries/doubt-opening.ts"
import type { ensureMonth } from "../../../db/queries/ensure-month.ts"
import type { finishRefill } from "../../../db/queries/finish-refill.ts"
import type { listAccountStates } from "../../../db/queries/list-account-states.ts"
import type { listAccountsToSweep } from "../../../db/queries/list-accounts-to-sweep.ts"
import type { listReversed } from "../../../db/queries/list-reversed.ts"
import type { listStoredResults } from "../../../db/queries/list-stored-results.ts"
import type { loadChainKeys } from "../../../db/queries/load-chain-keys.ts"
import type { loadPendingInstructions } from "../../../db/queries/load-pending-instructions.ts"
import type { markOpen } from "../../../db/queries/mark-open.ts"
import type { noteStop } from "../../../db/queries/note-stop.ts"
import type { raiseOpening } from "../../../db/queries/raise-opening.ts"
import type { readClock } from "../../../db/queries/read-clock.ts"
import type { readOpening } from "../../../db/queries/read-opening.ts"
import type { readOverBatch } from "../../../db/queries/read-over-batch.ts"
import type { readServicesVersion } from "../../../db/queries/read-services-version.ts"
import type { readStop } from "../../../db/queries/read-stop.ts"
import type { readWatermarks } from "../../../db/queries/read-watermarks.ts"
import type { setRefilling } from "../../../db/queries/set-refilling.ts"
import type { sumSnapshots } from "../../../db/queries/sum-snapshots.ts"
import type { switchGeneration } from "../../../db/queries/switch-generation.ts"
import type { takeBackCharge } from "../../../db/queries/take-back-charge.ts"
import { createAccountPlane } from "./account-plane.ts"
import { createFlush } from "./flush.ts"
import { createLosses } from "./losses.ts"
import {
  findGeneration,
  monthOf,
  type PartitionRow,
  type PostgresState,
  partitionOf,
  recordName,
  type SnapshotRow,
  SqlError,
  type StandIn,
} from "./state.ts"

type Deps = {
  state(): PostgresState
  /** Postgres's own clock, in ms since 1970. */
  nowMs(): number
}

/**
 * What the statements of `db/queries` do, by their names: each at one moment, and whole. Whoever changes
 * a statement changes it here; that both do the same is for the tests on real servers to say.
 */
export function createStatements({ state, nowMs }: Deps) {
  return {
    flushBatch: createFlush(state),
    ...openings(state),
    ...flushing(state),
    ...accounts({ state, nowMs }),
    ...createLosses(state),
    ...createAccountPlane({ state, nowMs }),
    readClock: (): Awaited<ReturnType<typeof readClock>> => nowMs(),
  }
}

function openings(state: () => PostgresState) {
  const at = (partition: number) => partitionOf(state(), partition)
  const createLedger: StandIn<typeof createLedgerRows> = (count) => {
    const now = state()
    if (now.partitionCount === 0) {
      now.partitionCount = count
      now.partitions = Array.from({ length: count }, (_, partition) => newPartition(partition))
    }
    return now.partitionCount
  }
  const claim: StandIn<typeof claimGeneration> = ({ partition, from, claim: claimed }) => {
    const row = at(partition)
    if (row.claimed !== from || claimed <= row.claimed) return false
    row.claimed = claimed
    return true
  }
  const mark: StandIn<typeof markOpen> = ({ partition, generation, ...opened }) => {
    const row = at(partition)
    if (row.generation !== generation) return
    const { opening, entryNumber: openedEntry, records: openedRecords } = opened
    Object.assign(row, { isOpen: true, opening, openedEntry, openedRecords })
  }
  const change: StandIn<typeof switchGeneration> = ({
    partition,
    from,
    claim: claimed,
    genesis,
  }) => {
    const row = at(partition)
    if (row.claimed !== claimed || !isAt(row, from)) return false
    go(state(), row, { generation: claimed, genesis })
    row.isOpen = false
    return true
  }
  const adopt: StandIn<typeof adoptGeneration> = ({ partition, from, generation, genesis }) => {
    const row = at(partition)
    if (!isAt(row, from)) return false
    go(state(), row, { generation, genesis })
    row.claimed = Math.max(row.claimed, generation)
    row.isOpen = true
    return true
  }
  const setBack: StandIn<typeof setRefilling> = (partition) => {
    const row = at(partition)
    if (row.isRefilling) return
    row.isRefilling = true
    state().opening += 1_000_000
  }
  const doubt: StandIn<typeof doubtOpening> = ({ partition, opening }) => {
    const row = at(partition)
    if (row.opening === opening) row.opening = 0
  }
  const raise: StandIn<typeof raiseOpening> = () => ++state().opening
  const watermarks: StandIn<typeof readWatermarks> = () =>
    state().partitions.map((row) => ({ ...row, server: String(state().server) }))
  const opening: StandIn<typeof readOpening> = () => {
    const { partitionCount, partitions } = state()
    if (partitionCount === 0) throw new SqlError("00000", "The ledger has not been opened yet.")
    return {
      partitions: partitionCount,
      generations: partitions.map(({ generation }) => generation),
      openings: partitions.map((row) => row.opening),
    }
  }
  const version: StandIn<typeof readServicesVersion> = () => state().servicesVersion
  return {
    createLedgerRows: createLedger,
    claimGeneration: claim,
    markOpen: mark,
    switchGeneration: change,
    adoptGeneration: adopt,
    setRefilling: setBack,
    raiseOpening: raise,
    doubtOpening: doubt,
    readWatermarks: watermarks,
    readOpening: opening,
    readServicesVersion: version,
  }
}

function newPartition(partition: number): PartitionRow {
  return {
    ...{ partition, generation: 0, claimed: 0, isOpen: false, entryNumber: 0, entryId: "" },
    ...{ records: 0, opening: 0, openedEntry: 0, openedRecords: 0, isRefilling: false },
    ...{ chainHead: "", chainStart: 0, stoppedBecause: null },
  }
}

type Position = { generation: number; entryNumber: number; entryId: string }

function isAt(row: PartitionRow, from: Position): boolean {
  const { generation, entryNumber, entryId } = from
  return row.generation === generation && row.entryNumber === entryNumber && row.entryId === entryId
}

function go(
  state: PostgresState,
  row: PartitionRow,
  { generation, genesis }: { generation: number; genesis: string },
): void {
  const { partition, records } = row
  const ended = findGeneration(state, row)
  if (ended !== undefined) {
    ended.lastEntry = row.entryNumber
    ended.lastRecords = records
  }
  const begun = {
    partition,
    generation,
    recordsBefore: records,
    lastEntry: null,
    lastRecords: null,
  }
  state.generations.push(begun)
  Object.assign(row, { generation, entryNumber: 0, entryId: genesis })
}

function flushing(state: () => PostgresState) {
  const month: StandIn<typeof ensureMonth> = (atMs) => void state().months.add(monthOf(atMs))
  const stop: StandIn<typeof noteStop> = ({ partition, reason }) => {
    partitionOf(state(), partition).stoppedBecause = reason
  }
  const stopped: StandIn<typeof readStop> = (partition) =>
    partitionOf(state(), partition).stoppedBecause
  const keys: StandIn<typeof loadChainKeys> = (accountIds) =>
    accountIds.flatMap((accountId) => {
      const snapshot = state().snapshots.get(accountId)
      return snapshot === undefined ? [] : [{ accountId, chainKey: snapshot.chainKey }]
    })
  return { ensureMonth: month, noteStop: stop, readStop: stopped, loadChainKeys: keys }
}

function accounts({ state, nowMs }: Deps) {
  const inPartition = (partition: number): [string, SnapshotRow][] =>
    [...state().snapshots].filter(([, snapshot]) => snapshot.partition === partition)
  const sums: StandIn<typeof sumSnapshots> = (partition) => {
    const found = inPartition(partition)
    const balances = found.reduce((sum, [, { balanceFen }]) => sum + balanceFen, 0)
    const { records } = partitionOf(state(), partition)
    const last = state().records.findLast((row) => row.partition === partition)
    const lastAtMs = last?.position === records ? last.atMs : 0
    return { accounts: found.length, balancesFen: String(balances), lastAtMs }
  }
  const states: StandIn<typeof listAccountStates> = ({ partition, after, limit }) =>
    inPartition(partition)
      .filter(([accountId]) => accountId > after)
      .toSorted(([left], [right]) => (left < right ? -1 : 1))
      .slice(0, limit)
      .map(([accountId, { balanceFen, lastSeq, instruction, authVersion, status }]) => ({
        ...{ accountId, instruction, authVersion, status },
        balanceFen: String(balanceFen),
        lastSeq: String(lastSeq),
      }))
  const reversed: StandIn<typeof listReversed> = (partition) => {
    const found = inPartition(partition).flatMap(([accountId]) =>
      (state().instructions.get(accountId) ?? []).flatMap(({ isFlushed, kind, sourceId }) => {
        if (isFlushed || kind !== "reversal" || sourceId === null) return []
        return isReversed(state(), sourceId) ? [sourceId] : []
      }),
    )
    return [...new Set(found)]
  }
  const results: StandIn<typeof listStoredResults> = ({ partition, after, ttlMs, limit }) =>
    [...state().results.values()]
      .filter((row) => row.partition === partition && row.atMs > nowMs() - ttlMs)
      .filter((row) => inTime(row, { ...after, seq: Number(after.seq) }) > 0)
      .toSorted(inTime)
      .slice(0, limit)
      .flatMap((row) => {
        const record = state().recordOf.get(recordName(row.accountId, row.seq))
        if (record === undefined) return []
        const { kind, keyId, interface: interfaceId, quantity, requestId, description } = record
        return [
          {
            ...{ accountId: row.accountId, seq: String(row.seq), atMs: row.atMs },
            ...{ digest: row.digest, fingerprint: row.fingerprint, heldFen: String(row.heldFen) },
            told: row.told,
            ...{ balanceFen: String(record.afterFen), amountFen: String(record.amountFen) },
            ...{ kind, keyId, interface: interfaceId, quantity, requestId, description },
          },
        ]
      })
  const pending: StandIn<typeof loadPendingInstructions> = ({ accountId, after, limit }) => {
    const applied = state().snapshots.get(accountId)?.instruction ?? 0
    return (state().instructions.get(accountId) ?? [])
      .filter(({ number }) => number > Math.max(after, applied))
      .toSorted((a, b) => a.number - b.number)
      .slice(0, limit)
      .map(({ number, kind, amountFen, authVersion, sourceId, description }) => ({
        ...{ number, kind, amountFen: String(amountFen), authVersion, sourceId, description },
      }))
  }
  const sweep: StandIn<typeof listAccountsToSweep> = ({ ageMs, limit }) =>
    [...state().instructions]
      .filter(([, made]) => made.some((row) => !row.isFlushed && row.createdAtMs < nowMs() - ageMs))
      .map(([accountId]) => accountId)
      .slice(0, limit)
  const fit: StandIn<typeof finishRefill> = ({ partition }) => {
    for (const [accountId, { instruction, authVersion }] of inPartition(partition)) {
      const known = state().accounts.get(accountId) ?? { lastInstruction: 0, authVersion: 0 }
      state().accounts.set(accountId, {
        lastInstruction: Math.max(known.lastInstruction, instruction),
        authVersion: Math.max(known.authVersion, authVersion),
      })
    }
    partitionOf(state(), partition).isRefilling = false
    return { lost: 0 }
  }
  return {
    sumSnapshots: sums,
    listAccountStates: states,
    listReversed: reversed,
    listStoredResults: results,
    loadPendingInstructions: pending,
    listAccountsToSweep: sweep,
    finishRefill: fit,
    readOverBatch: readOver(state),
    takeBackCharge: takeBack({ state, nowMs }),
  }
}

type ResultName = { atMs: number; accountId: string; seq: number }

/** By time, then by account and number. */
function inTime(a: ResultName, b: ResultName): number {
  if (a.atMs !== b.atMs) return a.atMs - b.atMs
  if (a.accountId === b.accountId) return a.seq - b.seq
  return a.accountId < b.accountId ? -1 : 1
}

function isReversed({ records }: PostgresState, chargeId: string): boolean {
  return records.some(({ kind, sourceId }) => kind === "reversal" && sourceId === chargeId)
}

function readOver(state: () => PostgresState): StandIn<typeof readOverBatch> {
  return ({ partition, generation, slot, number, afterRecords }) => {
    const now = state()
    const lastRecords = findGeneration(now, { partition, generation })?.lastRecords ?? null
    if (lastRecords === null) return null
    return now.records
      .filter((row) => row.partition === partition && row.slot === slot && row.batch === number)
      .filter(({ kind }) => kind === "charge" || kind === "capture")
      .filter(({ position }) => position > afterRecords && position <= lastRecords)
      .map(({ accountId, seq, atMs }) => ({
        ...{ accountId, seq, at: new Date(atMs) },
        digest: now.results.get(recordName(accountId, seq))?.digest ?? null,
      }))
  }
}

function takeBack({ state, nowMs }: Deps): StandIn<typeof takeBackCharge> {
  return ({ chargeId, accountId, seq }) => {
    const now = state()
    const record = now.recordOf.get(recordName(accountId, seq))
    const account = now.accounts.get(accountId)
    if (record === undefined || account === undefined) return false
    if (now.reversals.has(chargeId) || isReversed(now, chargeId)) return false
    now.reversals.add(chargeId)
    account.lastInstruction++
    const made = now.instructions.get(accountId) ?? []
    now.instructions.set(accountId, made)
    made.push({
      ...{ number: account.lastInstruction, kind: "reversal", amountFen: record.amountFen },
      ...{ authVersion: account.authVersion, sourceId: chargeId, createdAtMs: nowMs() },
      ...{ description: "Reversal: the call was answered 503", isFlushed: false },
    })
    return true
  }
}
