import type { Sql } from "../../db/connection.ts"
import { auditAccounts, type WrongAccount } from "../../db/queries/audit-accounts.ts"
import { auditTrialBalance } from "../../db/queries/audit-trial-balance.ts"
import { listSnapshots, type Snapshot } from "../../db/queries/list-snapshots.ts"
import { pageAccounts } from "../../db/queries/page-accounts.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { RECONCILE_ACCOUNTS_PAGE } from "../limits.ts"
import { CHECKS } from "./causes.ts"
import { createFindings, type Findings } from "./findings.ts"
import { compareHeld, type Held, sumHolds } from "./held.ts"
import { auditRecordsOf } from "./partitions.ts"
import { byPartition, type Compared, compareStates, type Drift } from "./states.ts"
import { findStrangers } from "./strangers.ts"

/**
 * Recomputes the books from nothing, while calls are charged or not, a page of accounts or records at
 * a time. Each comparison is of one moment: a statement of Postgres sees a flush whole or not at all,
 * and what Redis has is compared with the record and the entries that are not flushed yet.
 */
export type Recomputed = {
  accounts: number
  records: number
  creditsFen: number
  debitsFen: number
  balancesFen: number
  /** What the books are out by: the largest of the differences below. */
  driftFen: number
  drift: DriftFen
  /** Accounts whose state in Redis is not what their records make it. */
  drifts: Drift[]
  /** One sentence for each thing that is not as it must be. */
  findings: string[]
  /** Up to where the records of each partition were added up. */
  proven: { partition: number; position: number; through: Date | null }[]
}

/** Differences in fen, each added up without its sign. */
export type DriftFen = {
  /** Of accounts: between their records and their snapshot, and between these and Redis. */
  recordsFen: number
  redisFen: number
  /** Between what is held and the open holds. */
  heldFen: number
  /** Of partitions: counter-accounts against records, and against what accounts have. */
  countersFen: number
  snapshotsFen: number
  trialFen: number
}

export type Progress = { accounts: number; records: number }

type Stores = { sql: Sql; redis: RedisNodes }
type Hooks = {
  /** Called after each page. What it throws ends the run; what it waits for slows it down. */
  onPage?(progress: Progress): Promise<void>
}

/** How often accounts are read again whose partition was fenced or flushed past that moment. */
const ATTEMPTS_MAX = 20
const RETRY_MS = 100
const DRIFTS_MAX = 1_000

type Run = Stores & {
  findings: Findings
  result: Omit<Recomputed, "driftFen" | "findings">
  page(): Promise<void>
}

export async function recomputeBooks(stores: Stores, hooks: Hooks = {}): Promise<Recomputed> {
  const run = begin(stores, hooks)
  const { sql } = stores
  const { result, findings } = run
  const { books, countersFen, snapshotsFen, ...partitions } = await auditRecordsOf(sql, {
    onPage: run.page,
  })
  findings.add("partitions", partitions.findings)
  result.drift.countersFen = countersFen
  result.drift.snapshotsFen = snapshotsFen
  result.proven = books.map(({ partition, records: position, through }) => {
    return { partition, position, through }
  })
  const held = createHeld(stores)
  await held.begin()
  await auditEveryAccount(run, held)
  const { driftFen: heldFen, ...holds } = await held.compare()
  findings.add("holds", holds.findings)
  result.drift.heldFen = heldFen
  await addStrangers(run)
  findings.add("closed", await listClosed(sql))
  const trial = await auditTrialBalance(sql)
  if (trial !== "0") findings.add("trial", [`the trial balance is ${trial} fen, not zero`])
  result.drift.trialFen = Math.abs(Number(trial))
  const driftFen = Math.max(...Object.values(result.drift))
  return { ...result, driftFen, findings: findings.list() }
}

function begin(stores: Stores, { onPage = async () => undefined }: Hooks): Run {
  const drift = {
    ...{ recordsFen: 0, redisFen: 0, heldFen: 0, countersFen: 0, snapshotsFen: 0, trialFen: 0 },
  }
  const sums = { accounts: 0, records: 0, creditsFen: 0, debitsFen: 0, balancesFen: 0 }
  const result = { ...sums, drift, drifts: [], proven: [] }
  const page = () => onPage({ accounts: result.accounts, records: result.records })
  return { ...stores, findings: createFindings(), result, page }
}

async function auditEveryAccount(run: Run, held: HeldSuspects): Promise<void> {
  const { sql, result, findings } = run
  for (let after = ""; ; ) {
    const page = await pageAccounts(sql, { after, limit: RECONCILE_ACCOUNTS_PAGE })
    if (page === null) return
    const range = { after, through: page.through }
    const { wrong, accounts, records, ...sums } = await auditAccounts(sql, range)
    result.accounts += accounts
    result.records += records
    result.creditsFen += Number(sums.creditsFen)
    result.debitsFen += Number(sums.debitsFen)
    result.balancesFen += Number(sums.balancesFen)
    result.drift.recordsFen += wrong.reduce((fen, row) => fen + driftOf(row), 0)
    findings.add("accounts", wrong.map(describeAccount))
    for (const { kind, find } of CHECKS) findings.add(kind, await find(sql, range))
    await compareAccounts(run, { after, held })
    await run.page()
    if (page.isLast) return
    after = page.through
  }
}

function driftOf({ sumFen, snapshotFen }: WrongAccount): number {
  return Math.abs(sumFen - (snapshotFen ?? 0))
}

function describeAccount(wrong: WrongAccount): string {
  const { accountId, gaps, breaks, wrongSums, lastSeq, snapshotSeq, sumFen, snapshotFen } = wrong
  return `${accountId}: ${gaps} gaps, ${breaks} breaks and ${wrongSums} wrong sums; its records end at ${lastSeq} with ${sumFen} fen, its snapshot at ${snapshotSeq} with ${snapshotFen}`
}

/** Compares a page of accounts with Redis, and again those whose partition did not hold still. */
async function compareAccounts(
  run: Run,
  { after, held }: { after: string; held: HeldSuspects },
): Promise<void> {
  const { sql, redis, result, findings } = run
  let asked: string | null = null
  let moving = new Map<number, string>()
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const limit = RECONCILE_ACCOUNTS_PAGE
    const snapshots = await listSnapshots(sql, { accountIds: asked, after, limit })
    const again: string[] = []
    moving = new Map()
    for (const group of byPartition(snapshots)) {
      const compared = await compareStates(redis, group)
      if ("reason" in compared) {
        moving.set(compared.partition, compared.reason)
        again.push(...group.map(({ accountId }) => accountId))
      } else note(compared, group)
    }
    if (again.length === 0) return
    asked = `{${again.join(",")}}`
    await Bun.sleep(RETRY_MS)
  }
  findings.add(
    "moving",
    [...moving].map(
      ([partition, reason]) => `partition ${partition}: accounts could not be compared: ${reason}`,
    ),
  )

  function note({ drifts, states }: Compared, group: readonly Snapshot[]): void {
    result.drift.redisFen += drifts.reduce((fen, { driftFen }) => fen + driftFen, 0)
    result.drifts.push(...drifts.slice(0, DRIFTS_MAX - result.drifts.length))
    findings.add(
      "states",
      drifts.map(({ accountId, detail }) => `${accountId}: ${detail}`),
    )
    for (const { accountId, partition } of group) {
      const state = states.get(accountId)
      if (state === undefined) continue
      held.look(partition, accountId, state.heldFen)
      if (state.heldFen <= state.balanceFen) continue
      findings.add("more held", [`${accountId}: more is held than there is`])
    }
  }
}

type HeldSuspects = ReturnType<typeof createHeld>

/** What is held, by account: looked at on the way, and judged at the end where it did not agree. */
function createHeld({ sql, redis }: Stores) {
  let generations: readonly number[] = []
  const held = new Map<number, Held>()
  const suspects = new Map<number, Set<string>>()
  return { begin, look, compare }

  async function begin(): Promise<void> {
    generations = (await readOpening(sql)).generations
    for (const [partition, generation] of generations.entries()) {
      const sums = await sumHolds(redis, { partition, generation })
      held.set(partition, sums)
      suspects.set(partition, new Set(sums.byAccount.keys()))
    }
  }

  function look(partition: number, accountId: string, heldFen: number): void {
    if ((held.get(partition)?.byAccount.get(accountId) ?? 0) === heldFen) {
      suspects.get(partition)?.delete(accountId)
    } else suspects.get(partition)?.add(accountId)
  }

  async function compare(): Promise<{ driftFen: number; findings: string[] }> {
    let driftFen = 0
    const findings: string[] = []
    for (const [partition, generation] of generations.entries()) {
      const accountIds = [...(suspects.get(partition) ?? [])]
      const compared = await compareHeld(redis, { partition, generation }, accountIds)
      driftFen += compared.driftFen
      findings.push(...(held.get(partition)?.findings ?? []), ...compared.findings)
    }
    return { driftFen, findings }
  }
}

async function listClosed(sql: Sql): Promise<string[]> {
  const closed = (await readWatermarks(sql)).filter((row) => !row.isOpen || row.isRefilling)
  return closed.map(({ partition }) => {
    return `partition ${partition} is not open: its accounts were not compared with Redis`
  })
}

async function addStrangers({ sql, redis, result, findings }: Run): Promise<void> {
  const strangers = await findStrangers({ sql, redis })
  result.drift.redisFen += strangers.reduce((fen, { driftFen }) => fen + driftFen, 0)
  findings.add(
    "strangers",
    strangers.map(({ accountId, driftFen }) => {
      return `${accountId}: Redis has it with ${driftFen} fen, and Postgres knows of no such account`
    }),
  )
}
