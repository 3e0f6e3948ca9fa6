import type { Snapshot } from "../../db/queries/list-snapshots.ts"
import { BrokenStream, readEntries, type StreamPlace } from "../flusher/read-entries.ts"
import { parseAccountId } from "../ids.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { accountKey, metaKey } from "../ledger/keys.ts"
import {
  type AccountState,
  decodeAccount,
  decodeMeta,
  parseAccountStatus,
} from "../ledger/states.ts"
import { parseFen } from "../money.ts"

/** An account whose state in Redis is not what the record makes it. */
export type Drift = { accountId: string; partition: number; driftFen: number; detail: string }

export type Compared = {
  drifts: Drift[]
  /** Accounts that moved since their snapshot, and were not followed. */
  moving: ReadonlySet<string>
  /** What Redis has of each account; of one that is not there, nothing. */
  states: ReadonlyMap<string, AccountState>
}

/** What cannot be compared now: the partition is being fenced, rebuilt or flushed past this moment. */
export type NotComparable = { partition: number; reason: string }

/** Where an account must stand, and what its unflushed records have broken on the way. */
type Expected = Pick<
  AccountState,
  "balanceFen" | "seq" | "instruction" | "authVersion" | "status"
> & { brokenFen: number }

export function byPartition(snapshots: readonly Snapshot[]): Snapshot[][] {
  return [...Map.groupBy(snapshots, ({ partition }) => partition).values()]
}

/**
 * Compares accounts of one partition in Redis with their snapshots and the entries that are not
 * flushed yet: meta and states are read in one step, and the entries between the snapshots'
 * watermark and that meta lead from the one to the other. So it is exact while calls are charged.
 * Where these are more than `entriesMax`, accounts that moved are left out: a flush that does not
 * continue where they stand is refused by Postgres.
 */
export async function compareStates(
  redis: RedisNodes,
  snapshots: readonly Snapshot[],
  { entriesMax = Number.POSITIVE_INFINITY }: { entriesMax?: number } = {},
): Promise<Compared | NotComparable> {
  const [first] = snapshots
  if (first === undefined) return { drifts: [], moving: new Set(), states: new Map() }
  const { partition, generation, entryId } = first
  const place = { partition, generation, entryNumber: Number(first.entryNumber), entryId }
  const moment = await readMoment(redis, place, snapshots)
  if ("reason" in moment) return moment
  const expected = new Map(snapshots.map((snapshot) => [snapshot.accountId, expectedOf(snapshot)]))
  const { states, entryNumber } = moment
  const moving = new Set(
    [...expected].flatMap(([id, account]) => (hasMoved(account, states.get(id)) ? [id] : [])),
  )
  if (moving.size > 0 && entryNumber - place.entryNumber <= entriesMax) {
    try {
      await follow(redis, place, { entryNumber, expected })
    } catch (error) {
      if (!(error instanceof BrokenStream)) throw error
      return { partition, reason: error.message }
    }
    moving.clear()
  }
  const drifts = snapshots.flatMap(({ accountId }) => {
    if (moving.has(accountId)) return []
    const drift = driftOf(expected.get(accountId), states.get(accountId))
    return drift === null ? [] : [{ accountId, partition, ...drift }]
  })
  return { drifts, moving, states }
}

/** Without a record or an instruction more, an account stands where it stood. */
function hasMoved(account: Expected, state: AccountState | undefined): boolean {
  if (state === undefined) return false
  return state.seq > account.seq || state.instruction > account.instruction
}

/** Meta and states, in one step. */
async function readMoment(
  redis: RedisNodes,
  { partition, generation, entryNumber }: StreamPlace,
  snapshots: readonly Snapshot[],
): Promise<{ entryNumber: number; states: Map<string, AccountState> } | NotComparable> {
  const keys = snapshots.map(({ accountId }) =>
    accountKey(partition, generation, parseAccountId(accountId)),
  )
  const answers = await redis
    .of(partition)
    .multi()
    .getBuffer(metaKey(partition))
    .mgetBuffer(...keys)
    .exec()
  const [meta, values] = (answers ?? []).map(([error, answer]) => {
    if (error !== null) throw error
    return answer
  })
  if (!Buffer.isBuffer(meta)) return { partition, reason: "it has no meta in Redis" }
  const now = decodeMeta(meta)
  if (now.generation !== generation) {
    return { partition, reason: `Redis has generation ${now.generation}, Postgres ${generation}` }
  }
  if (now.entryNumber < entryNumber) {
    return { partition, reason: `Redis has entry ${now.entryNumber}, Postgres ${entryNumber}` }
  }
  const states = new Map<string, AccountState>()
  for (const [i, value] of (Array.isArray(values) ? values : []).entries()) {
    const accountId = snapshots[i]?.accountId
    const state = Buffer.isBuffer(value) ? readState(value) : null
    if (state !== null && accountId !== undefined) states.set(accountId, state)
  }
  return { entryNumber: now.entryNumber, states }
}

/** Null for what no script writes: then the account is not there, as far as the books go. */
function readState(value: Buffer): AccountState | null {
  try {
    return decodeAccount(value)
  } catch (error) {
    if (error instanceof Error) return null
    throw error
  }
}

function expectedOf(snapshot: Snapshot): Expected {
  const { balanceFen, lastSeq, instruction, authVersion, status } = snapshot
  return {
    ...{ balanceFen: parseFen(balanceFen), seq: Number(lastSeq), instruction, authVersion },
    ...{ status: parseAccountStatus(status), brokenFen: 0 },
  }
}

/** Carries out, on paper, the entries after `place` up to one of them. */
async function follow(
  redis: RedisNodes,
  from: StreamPlace,
  { entryNumber, expected }: { entryNumber: number; expected: ReadonlyMap<string, Expected> },
): Promise<void> {
  let place = from
  while (place.entryNumber < entryNumber) {
    const entries = await readEntries(redis, place)
    if (entries.length === 0) {
      throw new BrokenStream(`the stream ends before entry ${entryNumber}`)
    }
    for (const { number, id, records } of entries) {
      if (number > entryNumber) return
      for (const record of records) {
        const account = expected.get(record.accountId)
        if (account === undefined) continue
        account.brokenFen += Math.abs(record.balanceBeforeFen - account.balanceFen)
        account.balanceFen = record.balanceAfterFen
        account.seq = record.seq
        if (record.instruction === null) continue
        account.instruction = record.instruction.number
        account.authVersion = record.instruction.authVersion
      }
      place = { ...place, entryNumber: number, entryId: id }
    }
  }
}

function driftOf(
  expected: Expected | undefined,
  state: AccountState | undefined,
): Pick<Drift, "driftFen" | "detail"> | null {
  if (expected === undefined) return null
  const { balanceFen, brokenFen } = expected
  if (state === undefined)
    return { driftFen: balanceFen, detail: "Redis has nothing of it that can be read" }
  const driftFen = Math.abs(state.balanceFen - balanceFen) + brokenFen
  if (driftFen === 0 && describe(state) === describe(expected)) return null
  const detail = `Redis has ${describe(state)}, its records make ${describe(expected)}`
  return { driftFen, detail }
}

function describe(state: Omit<Expected, "brokenFen"> | undefined): string {
  if (state === undefined) return "nothing"
  const { balanceFen, seq, instruction, authVersion, status } = state
  return `${balanceFen} fen at record ${seq}, instruction ${instruction}, auth version ${authVersion}, ${status}`
}
