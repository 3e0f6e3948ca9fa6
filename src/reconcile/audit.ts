import type { Redis } from "ioredis"
import type { Sql } from "../../db/connection.ts"
import { auditAccounts, type WrongAccount } from "../../db/queries/audit-accounts.ts"
import { auditCounters } from "../../db/queries/audit-counters.ts"
import { auditInstructionNumbers } from "../../db/queries/audit-instruction-numbers.ts"
import { auditInstructions } from "../../db/queries/audit-instructions.ts"
import { auditPositions } from "../../db/queries/audit-positions.ts"
import { auditRedemptions } from "../../db/queries/audit-redemptions.ts"
import { auditReversals } from "../../db/queries/audit-reversals.ts"
import { listSnapshots, type Snapshot } from "../../db/queries/audit-snapshots.ts"
import { auditTrialBalance } from "../../db/queries/audit-trial-balance.ts"
import { auditUsage } from "../../db/queries/audit-usage.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { parseAccountId } from "../ids.ts"
import { accountKey } from "../ledger/keys.ts"
import { readMeta } from "../ledger/meta.ts"
import type { Opening } from "../ledger/opening.ts"
import { decodeAccount } from "../ledger/states.ts"
import { sumHolds } from "./held.ts"

/**
 * Recomputes the books from nothing: what `reconcile` proves while they are written, and all that is
 * too expensive to prove then. A test or a benchmark whose books have a finding has no result.
 *
 * Call it when nothing charges any more: it first waits until Postgres has all that Redis wrote.
 */
export type Audit = {
  accounts: number
  records: number
  /** One sentence for each thing that is not as it must be. */
  findings: string[]
  creditsFen: number
  debitsFen: number
  balancesFen: number
}

type Stores = { sql: Sql; redis: Redis }
type Options = Stores & {
  /** Said by the caller, it is compared with what Postgres says. */
  partitions?: number
  /** Looks at the records and states of these alone; the sums of a partition are of all. */
  accountIds?: readonly string[]
  /** How long the flush may take to catch up. */
  catchUpMs?: number
}

const FINDINGS_OF_A_KIND_MAX = 20
const SNAPSHOTS_PAGE = 1_000
const CATCH_UP_POLL_MS = 20
const CATCH_UP_MS = 10_000

export async function auditBooks(options: Options): Promise<Audit> {
  const { sql, redis, accountIds, catchUpMs = CATCH_UP_MS } = options
  const opening = await readOpening(sql)
  const wanted = accountIds === undefined ? null : `{${accountIds.join(",")}}`
  const findings = await awaitFlush({ sql, redis }, opening.generations, catchUpMs)
  if (options.partitions !== undefined && options.partitions !== opening.partitions) {
    findings.push(`the ledger has ${opening.partitions} partitions, not ${options.partitions}`)
  }
  const { wrong, ...sums } = await auditAccounts(sql, wanted)
  findings.push(...firstOf(wrong, describeAccount), ...(await auditSums(sql)))
  findings.push(
    ...firstOf(await compareStates({ sql, redis }, { opening, wanted }), (text) => text),
  )
  return { ...sums, findings }
}

/** Until the watermark of each partition is at the last entry of its stream. Else: what is behind. */
async function awaitFlush(
  { sql, redis }: Stores,
  generations: readonly number[],
  catchUpMs: number,
): Promise<string[]> {
  const deadlineAt = performance.now() + catchUpMs
  for (;;) {
    const behind: string[] = []
    for (const { partition, generation, entryNumber } of await readWatermarks(sql)) {
      const meta = await readMeta(redis, partition)
      if (meta?.generation === generations[partition] && meta?.entryNumber === entryNumber) continue
      const has =
        meta === null ? "none" : `entry ${meta.entryNumber} of generation ${meta.generation}`
      behind.push(
        `partition ${partition}: Postgres has entry ${entryNumber} of generation ${generation}, Redis has ${has}`,
      )
    }
    if (behind.length === 0 || performance.now() >= deadlineAt) return behind
    await Bun.sleep(CATCH_UP_POLL_MS)
  }
}

async function auditSums(sql: Sql): Promise<string[]> {
  const trial = await auditTrialBalance(sql)
  return [
    ...(trial === "0" ? [] : [`the trial balance is ${trial} fen, not zero`]),
    ...firstOf(
      await auditPositions(sql),
      (row) =>
        `partition ${row.partition}: ${row.records} records at ${row.distinct} positions up to ${row.highest}, and the watermark counts ${row.watermark}`,
    ),
    ...firstOf(
      await auditCounters(sql),
      (row) =>
        `${row.kind} of partition ${row.partition}: the counter-account has ${row.creditFen} credit and ${row.debitFen} debit, its records ${row.recordsCreditFen} and ${row.recordsDebitFen}`,
    ),
    ...firstOf(
      await auditInstructions(sql),
      (row) =>
        `${row.accountId}: ${row.kind} ${row.sourceId}: ${row.instructions} flushed instructions of ${row.instructionsFen} fen, ${row.records} records of ${row.recordsFen}`,
    ),
    ...firstOf(
      await auditInstructionNumbers(sql),
      (row) =>
        `${row.accountId}: ${row.flushed} instructions up to ${row.highestFlushed} are flushed, and its snapshot says ${row.snapshotNumber}`,
    ),
    ...firstOf(
      await auditRedemptions(sql),
      (row) =>
        `${row.accountId}: redemption ${row.redemptionId} has ${row.instructions} instructions and ${row.records} records`,
    ),
    ...firstOf(
      await auditReversals(sql),
      (row) =>
        `charge ${row.chargeId}: ${row.reversals} reversals ordered by ${row.instructions} instructions, ${row.records} records of it`,
    ),
    ...firstOf(
      await auditUsage(sql),
      (row) =>
        `${row.accountId}: usage of ${row.keyId} ${row.interface} at ${row.hour} is ${row.calls} calls, ${row.amountFen} fen; its charges are ${row.recordsCalls} calls, ${row.recordsFen} fen`,
    ),
  ]
}

function describeAccount(wrong: WrongAccount): string {
  const { accountId, gaps, breaks, wrongSums, lastSeq, snapshotSeq, sumFen, snapshotFen } = wrong
  return `${accountId}: ${gaps} gaps, ${breaks} breaks and ${wrongSums} wrong sums; its records end at ${lastSeq} with ${sumFen} fen, its snapshot at ${snapshotSeq} with ${snapshotFen}`
}

/** Compares each account in Redis with its snapshot, a page of accounts at a time. */
async function compareStates(
  { sql, redis }: Stores,
  { opening, wanted }: { opening: Opening; wanted: string | null },
): Promise<string[]> {
  const holds = await Promise.all(
    opening.generations.map((generation, partition) => sumHolds(redis, { partition, generation })),
  )
  const findings = holds.flatMap((held) => held.findings)
  for (let after = ""; ; ) {
    const page = await listSnapshots(sql, { accountIds: wanted, after, limit: SNAPSHOTS_PAGE })
    for (let partition = 0; partition < opening.partitions; partition++) {
      const snapshots = page.filter((snapshot) => snapshot.partition === partition)
      const generation = opening.generations[partition] ?? 0
      const heldFen = holds[partition]?.byAccount ?? new Map<string, number>()
      findings.push(...(await comparePage(redis, { snapshots, partition, generation, heldFen })))
    }
    const last = page.at(-1)
    if (last === undefined || page.length < SNAPSHOTS_PAGE) return findings
    after = last.accountId
  }
}

async function comparePage(
  redis: Redis,
  page: {
    snapshots: readonly Snapshot[]
    partition: number
    generation: number
    heldFen: ReadonlyMap<string, number>
  },
): Promise<string[]> {
  const { snapshots, partition, generation, heldFen } = page
  if (snapshots.length === 0) return []
  const states = await redis.mgetBuffer(
    snapshots.map(({ accountId }) => accountKey(partition, generation, parseAccountId(accountId))),
  )
  return snapshots.flatMap((snapshot, i) => {
    const held = heldFen.get(snapshot.accountId.slice("acct_".length)) ?? 0
    return compareState(snapshot, states[i] ?? null, held)
  })
}

function compareState(snapshot: Snapshot, bytes: Buffer | null, heldFen: number): string[] {
  if (bytes === null) return [`${snapshot.accountId}: is not in Redis`]
  const state = decodeAccount(bytes)
  const inRedis = [state.balanceFen, state.seq, state.instruction, state.authVersion, state.status]
  const { balanceFen, lastSeq, instruction, authVersion, status } = snapshot
  const inPostgres = [balanceFen, lastSeq, instruction, authVersion, status]
  const findings: string[] = []
  if (inRedis.join() !== inPostgres.join()) {
    findings.push(
      `${snapshot.accountId}: Redis has ${inRedis.join()}, its snapshot ${inPostgres.join()}`,
    )
  }
  if (state.heldFen !== heldFen) {
    findings.push(
      `${snapshot.accountId}: ${state.heldFen} fen are held, its holds sum up to ${heldFen}`,
    )
  }
  if (state.heldFen > state.balanceFen)
    findings.push(`${snapshot.accountId}: more is held than there is`)
  return findings
}

function firstOf<Row>(rows: readonly Row[], describe: (row: Row) => string): string[] {
  const findings = rows.slice(0, FINDINGS_OF_A_KIND_MAX).map(describe)
  const more = rows.length - findings.length
  return more > 0 ? [...findings, `and ${more} more of this kind`] : findings
}
