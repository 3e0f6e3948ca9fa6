import type { Flush } from "../../db/queries/flush-batch.ts"
import type { AccountId } from "../ids.ts"
import type { LedgerRecord } from "../ledger/records.ts"
import { type ChainPlace, createChain } from "./chain.ts"
import {
  type AccountChange,
  advancedColumns,
  type CounterRow,
  chargeColumns,
  counterColumns,
  instructionColumns,
  keyedColumns,
  openedColumns,
  type Row,
  recordColumns,
  revokedOf,
  toldOf,
  type UsageRow,
  usageColumns,
} from "./columns.ts"
import { BrokenStream, type Entry, type StreamPlace } from "./read-entries.ts"

/** Where a flush begins: in the stream, and in the hash chain. */
export type FlushPlace = StreamPlace & ChainPlace

const HOUR_MS = 3_600_000

/**
 * Turns entries into the columns of one flush. `chainKeys` has those of all their accounts. Throws
 * `BrokenStream` where an account's records in this batch do not continue each other; the statement
 * checks the first of them against Postgres.
 */
export function composeFlush(
  from: FlushPlace,
  entries: readonly Entry[],
  chainKeys: ReadonlyMap<AccountId, string>,
): Flush {
  const last = entries.at(-1)
  if (last === undefined) throw new RangeError("there is nothing to flush")
  const accounts = new Map<AccountId, AccountChange>()
  const usage = new Map<string, UsageRow>()
  const counters = new Map<string, CounterRow>()
  for (const { records, atMs } of entries) {
    for (const record of records) {
      followAccount(accounts, record)
      if (record.type !== 0) countRecord(counters, record)
      countUsage(usage, record, atMs)
    }
  }
  const opened = [...accounts].filter(([, change]) => change.isOpened)
  const advanced = [...accounts].filter(([, change]) => !change.isOpened)
  const rows = entries.flatMap((entry) =>
    entry.records.filter((record) => record.type !== 0).map((record) => ({ record, entry })),
  )
  const { instructedCount, instructions } = instructionColumns(entries)
  const told = toldOf(entries)
  const to = { entryNumber: last.number, entryId: last.id, ...chainRows(from, rows, chainKeys) }
  return {
    ...{ partition: from.partition, generation: from.generation, from, to },
    recordCount: rows.length,
    openedCount: opened.length,
    advancedCount: advanced.length,
    instructedCount,
    columns: {
      records: recordColumns(rows),
      opened: openedColumns(opened, chainKeys),
      advanced: advancedColumns(advanced),
      usage: usageColumns([...usage.values()]),
      counters: counterColumns([...counters]),
      instructions,
      keyed: keyedColumns(rows, told),
      revoked: chargeColumns(revokedOf(rows)),
      told: chargeColumns(told),
    },
  }
}

/** Where the chain stands after these records. */
function chainRows(
  from: FlushPlace,
  rows: readonly Row[],
  chainKeys: ReadonlyMap<AccountId, string>,
): Pick<FlushPlace, "records" | "chainHead"> {
  if (rows.length === 0) return { records: from.records, chainHead: from.chainHead }
  const chain = createChain(from)
  for (const { record, entry } of rows) {
    const key = chainKeys.get(record.accountId)
    if (key === undefined) throw new RangeError(`no chain key of ${record.accountId}`)
    chain.add(record, entry, key)
  }
  return { records: from.records + rows.length, chainHead: chain.head() }
}

function followAccount(accounts: Map<AccountId, AccountChange>, record: LedgerRecord): void {
  const change = accounts.get(record.accountId) ?? beginAccount(accounts, record)
  const expected = record.type === 0 ? change.seq : change.seq + 1
  if (record.seq !== expected || record.balanceBeforeFen !== change.balance) {
    throw new BrokenStream(
      `${record.accountId}: record ${record.seq} does not continue record ${change.seq}`,
    )
  }
  change.seq = record.seq
  change.balance = record.balanceAfterFen
  if (record.instruction === null) return
  const { number, authVersion } = record.instruction
  if (change.instruction !== null && number !== change.instruction + 1) {
    throw new BrokenStream(
      `${record.accountId}: instruction ${number} does not follow ${change.instruction}`,
    )
  }
  change.instructionBefore ??= number - 1
  change.instruction = number
  change.authVersion = authVersion
}

function beginAccount(
  accounts: Map<AccountId, AccountChange>,
  record: LedgerRecord,
): AccountChange {
  const seqBefore = record.type === 0 ? record.seq : record.seq - 1
  const change: AccountChange = {
    isOpened: record.kind === "open",
    seqBefore,
    balanceBefore: record.balanceBeforeFen,
    instructionBefore: null,
    seq: seqBefore,
    balance: record.balanceBeforeFen,
    instruction: null,
    authVersion: null,
  }
  accounts.set(record.accountId, change)
  return change
}

/** The other side of the movement: what an account pays is credited, what it gets is debited. */
function countRecord(counters: Map<string, CounterRow>, record: LedgerRecord): void {
  let row = counters.get(record.kind)
  if (row === undefined) {
    row = { credit: 0, debit: 0 }
    counters.set(record.kind, row)
  }
  if (record.type === 2) row.credit += record.amountFen
  else row.debit += record.amountFen
}

/** What was paid for; a charge that a revoke took back is none in the hour in which it was made. */
function countUsage(usage: Map<string, UsageRow>, record: LedgerRecord, atMs: number): void {
  const { accountId, keyId, interface: interfaceId, quantity, amountFen, revokedAtMs } = record
  if (record.type !== 2 && revokedAtMs === null) return
  const paidAtMs = revokedAtMs ?? atMs
  const sign = revokedAtMs === null ? 1 : -1
  const hourMs = paidAtMs - (paidAtMs % HOUR_MS)
  const key = `${accountId} ${keyId} ${interfaceId} ${hourMs}`
  let row = usage.get(key)
  if (row === undefined) {
    row = {
      accountId,
      keyId: keyId ?? "",
      interface: interfaceId ?? "",
      hourMs,
      calls: 0,
      amount: 0,
    }
    usage.set(key, row)
  }
  row.calls += sign * (quantity ?? 1)
  row.amount += sign * amountFen
}
