import { chargeId, parseAccountId } from "../../src/ids.ts"
import { accountKey, holdsKey, metaKey } from "../../src/ledger/keys.ts"
import { decodeAccount, decodeMeta } from "../../src/ledger/states.ts"
import type { CallerLog, Paid, Wish } from "./callers.ts"
import { losesData, losesOnce } from "./faults.ts"
import { findGeneration, type RecordRow, recordName } from "./postgres/state.ts"
import { type Counts, NO_COUNTS } from "./totals.ts"
import type { WrittenEntry } from "./truth.ts"
import type { World } from "./world.ts"

/** Reports each contradiction to `world.fail`, and answers how many there were of each kind. */
export function audit(world: World, log: CallerLog): Counts {
  const { postgres, truth } = world
  const { records } = postgres.state()
  const counts: Counts = { ...NO_COUNTS, requests: log.wishes.length }
  const lost = lostEntries(world)
  const isLossy = losesData(world.plan.faults)
  const isCountExact = losesOnce(world.plan.faults)
  const charges = chargesByRequest(records, isLossy ? reversalsOf(lost) : [])
  for (const wish of log.wishes) judge(wish, charges.get(wish.id) ?? [])
  const wished = new Set(log.wishes.map(({ id }) => id))
  for (const [requestId] of charges) {
    if (wished.has(requestId)) continue
    counts.phantom++
    world.fail(`phantom: a charge of ${requestId}, which nobody asked for`)
  }
  countLosses()
  auditAccounts(world)
  auditCredits(world, log)
  if (truth.entries.length === 0) world.fail("nothing was written at all")
  counts.overdraft = world.failures().filter((line) => line.startsWith("overdraft")).length
  return counts

  function judge(wish: Wish, found: readonly Charge[]): void {
    const { id, paid, told } = wish
    const net = found.filter(({ reversal }) => reversal === null)
    const standing = found.filter(({ reversal }) => reversal !== "made").map(({ record }) => record)
    const isUnknown = paid.length === 0 && told.includes("no_answer")
    if (isUnknown) counts.unknown++
    if (isUnknown && net.length <= 1) counts.resolved++
    if (net.length > 1) {
      counts.duplicated++
      world.fail(`duplicated: ${id} was charged ${net.length} times (${told.join(", ")})`)
    }
    for (const answer of paid) judgePaid(wish, answer, standing)
    if (paid.length === 0 && !isUnknown && net.length > 0) {
      counts.refusedCharged++
      world.fail(`refused_charged: ${id} was charged, and told ${told.join(", ")}`)
    }
  }

  /** Where Redis lost what it had answered, it must have been counted: see `countLosses`. */
  function judgePaid({ id, accountId }: Wish, answer: Paid, found: readonly RecordRow[]): void {
    const isThere = found.some(
      ({ seq, amountFen, afterFen }) =>
        seq === answer.seq && amountFen === answer.amountFen && afterFen === answer.balanceFen,
    )
    if (isThere) return
    const entry = lost.find(({ records: gone }) =>
      gone.some(({ requestId, seq, ...told }) => {
        // Where it was forgotten that somebody was told, a revoke may have taken it back.
        const isTold = told.accountId === accountId && told.toldSeq === answer.seq
        return isTold || (requestId === id && seq === answer.seq)
      }),
    )
    if (entry !== undefined && isLossy) return judgeNoticed(entry, answer)
    counts.lost++
    world.fail(`lost: ${id} of ${accountId} was paid, and record ${answer.seq} does not say so`)
  }

  /** A gateway that still runs has told what it saw. */
  function judgeNoticed(entry: WrittenEntry, { by }: Paid): void {
    if (by === null || by.isDead) return
    const isNoticed = postgres.state().incidents.some((incident) => {
      const { partition, generation, kind, fromEntry, throughEntry } = incident
      if (partition !== entry.partition || generation !== entry.generation) return false
      const isWithin = (fromEntry ?? 0) <= entry.number && entry.number <= (throughEntry ?? 0)
      if (!isCountExact && kind === "redis_lost") return true
      const isRange = isWithin || !isCountExact
      return kind === "stream_diverged" || (kind === "records_lost" && isRange)
    })
    if (isNoticed) return
    world.fail(`a loss that nobody noticed: entry ${entry.number} of ${entry.generation}`)
  }

  function countLosses(): void {
    if (!isCountExact) return
    for (const incident of postgres.state().incidents) {
      if (incident.kind !== "records_lost") continue
      const { partition, generation, fromEntry, throughEntry, records: detected } = incident
      const meant = lost.filter(
        (entry) =>
          entry.partition === partition &&
          entry.generation === generation &&
          entry.number >= (fromEntry ?? 0) &&
          entry.number <= (throughEntry ?? 0),
      )
      const actual = meant.flatMap((entry) => entry.records.filter(({ type }) => type !== 0)).length
      counts.detectedLoss += detected ?? 0
      counts.actualLoss += actual
      if (actual === detected) continue
      const range = `${fromEntry} to ${throughEntry} of generation ${generation}`
      world.fail(`${detected} records are said to be lost, and ${actual} are: entries ${range}`)
    }
  }
}

/** Redis may lose a reversal, as it may lose a charge: it was made all the same, and the charge stands. */
type Charge = { record: RecordRow; reversal: "made" | "lost" | null }

function reversalsOf(entries: readonly WrittenEntry[]): (string | null)[] {
  const records = entries.flatMap((entry) => entry.records)
  return records.flatMap(({ kind, sourceId }) => (kind === "reversal" ? [sourceId] : []))
}

function chargesByRequest(
  records: readonly RecordRow[],
  lostReversals: readonly (string | null)[],
): Map<string, Charge[]> {
  const made = records.flatMap(({ kind, sourceId }) => (kind === "reversal" ? [sourceId] : []))
  const [reversed, forgotten] = [new Set(made), new Set(lostReversals)]
  const found = new Map<string, Charge[]>()
  for (const record of records) {
    const { kind, requestId } = record
    if ((kind !== "charge" && kind !== "capture") || requestId === null) continue
    const accountId = parseAccountId(record.accountId)
    const id = chargeId({ accountId, seq: record.seq, at: new Date(record.atMs) })
    const known = found.get(requestId) ?? []
    const reversal = reversed.has(id) ? "made" : forgotten.has(id) ? "lost" : null
    found.set(requestId, [...known, { record, reversal }])
  }
  return found
}

/** What Redis had written and Postgres never got. */
export function lostEntries({ truth, postgres }: World): WrittenEntry[] {
  const state = postgres.state()
  return truth.entries.filter((entry, i) => {
    const money = entry.records.filter(({ type }) => type !== 0)
    if (money.length === 0) return isPassedOver(entry, truth.entries.slice(i + 1))
    return money.some(({ accountId, seq }) => {
      const row = state.recordOf.get(recordName(accountId, seq))
      const isSame = row?.atMs === entry.atMs && row.slot === entry.slot
      return !isSame || row.batch !== entry.batch
    })
  })

  /** One without money leaves no record: it is gone where its generation ended before, or has another. */
  function isPassedOver(entry: WrittenEntry, later: readonly WrittenEntry[]): boolean {
    const ended = findGeneration(state, entry)?.lastEntry ?? Number.POSITIVE_INFINITY
    const { partition, generation, number } = entry
    const isReplaced = later.some(
      (other) =>
        other.partition === partition && other.generation === generation && other.number <= number,
    )
    return number > ended || isReplaced
  }
}

/** Records without a gap, each continuing the one before; snapshots and Redis as they end. */
function auditAccounts(world: World): void {
  const { snapshots, records, counters, partitions } = world.postgres.state()
  const data = world.redis.server.data()
  const last = new Map<string, RecordRow>()
  for (const record of records) {
    const before = last.get(record.accountId)
    const follows =
      record.seq === (before?.seq ?? 0) + 1 && record.beforeFen === (before?.afterFen ?? 0)
    if (!follows) world.fail(`${record.accountId}: record ${record.seq} does not follow`)
    last.set(record.accountId, record)
  }
  let balances = 0
  for (const [accountId, snapshot] of snapshots) {
    balances += snapshot.balanceFen
    const record = last.get(accountId)
    const isEnd = record?.seq === snapshot.lastSeq && record.afterFen === snapshot.balanceFen
    if (!isEnd && snapshot.lastSeq > 0)
      world.fail(`${accountId}: its snapshot is not its last record`)
    const { partition, instruction } = snapshot
    const generation = partitions[partition]?.generation ?? 0
    const key = accountKey(partition, generation, parseAccountId(accountId))
    const state = data.get(key)?.value
    if (typeof state !== "string") {
      world.fail(`${accountId} is not in Redis`)
      continue
    }
    const found = decodeAccount(Buffer.from(state, "latin1"))
    const isSame =
      found.balanceFen === snapshot.balanceFen &&
      found.seq === snapshot.lastSeq &&
      found.instruction === instruction &&
      found.authVersion === snapshot.authVersion
    if (!isSame) world.fail(`${accountId}: Redis has ${JSON.stringify(found)}, not its snapshot`)
    if (found.heldFen !== 0) world.fail(`${accountId}: ${found.heldFen} fen are held by nobody`)
  }
  let others = 0
  for (const { creditFen, debitFen } of counters.values()) others += debitFen - creditFen
  if (others !== balances) world.fail(`the trial balance is ${others - balances} fen, not zero`)
}

/** What was paid in stands in the record once, wherever its caller may rely on it. */
function auditCredits(world: World, log: CallerLog): void {
  const { records } = world.postgres.state()
  // What a restored Postgres has forgotten, and Redis never heard of, is gone with the back-up.
  const isRestored = world.plan.faults.some(({ kind }) => kind === "postgres_restored")
  for (const { sourceId, accountId, amountFen, told } of log.credits) {
    const found = records.filter(
      (record) => record.kind === "redemption" && record.sourceId === sourceId,
    )
    const isRight = found.every((row) => row.accountId === accountId && row.amountFen === amountFen)
    if (found.length > 1 || !isRight) world.fail(`${sourceId} was credited ${found.length} times`)
    const isPromised = told === "applied" || (told === "committed" && !isRestored)
    if (isPromised && found.length === 0) world.fail(`${sourceId} was ${told}, and is not credited`)
    if (told === "refused" && found.length > 0)
      world.fail(`${sourceId} was refused, and is credited`)
  }
}

/** Null where nothing is left to be done; else what is. */
export function findUnquiet(world: World): string | null {
  const { redis, postgres, disk, gateways, flushers, keepers } = world
  for (const process of [...gateways, ...flushers, ...keepers]) {
    if (process.running() === null) return `${process.name} does not run`
  }
  const state = postgres.state()
  if (state.losses.some(({ isHandled }) => !isHandled)) return "a loss is not counted yet"
  for (const {
    partition,
    generation,
    entryNumber,
    stoppedBecause,
    isRefilling,
  } of state.partitions) {
    if (stoppedBecause !== null) return `partition ${partition} was stopped: ${stoppedBecause}`
    const bytes = redis.server.data().get(metaKey(partition))?.value
    if (typeof bytes !== "string") return `partition ${partition} has no meta`
    const meta = decodeMeta(Buffer.from(bytes, "latin1"))
    if (meta.generation !== generation) return `partition ${partition} has two generations`
    if (isRefilling) return `partition ${partition} is being filled up`
    if (meta.entryNumber !== entryNumber) return `partition ${partition} is not flushed`
    if (meta.entryFlushed !== entryNumber) return `partition ${partition} has not been told`
    if (redis.server.data().has(holdsKey(partition, generation))) return "holds are open"
  }
  for (const [accountId, made] of state.instructions) {
    const open = made.find(({ isFlushed }) => !isFlushed)
    if (open !== undefined) return `instruction ${open.number} of ${accountId} is not flushed`
  }
  for (const path of disk.files.keys()) {
    if (path.includes("/9999999-")) return `${path} is left over`
  }
  return null
}
