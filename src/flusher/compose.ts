import type { Flush } from "../../db/queries/flush-batch.ts"
import type { LedgerRecord } from "../ledger/records.ts"
import { BrokenStream, type Entry, type StreamPlace } from "./read-entries.ts"

/** What the batch does to one account: where it must stand before, and where it stands after. */
type AccountChange = {
  isOpened: boolean
  seqBefore: number
  balanceBefore: number
  instructionBefore: number | null
  seq: number
  balance: number
  instruction: number | null
  authVersion: number | null
}

type UsageRow = {
  accountId: string
  keyId: string
  interface: string
  hourMs: number
  calls: number
  amount: number
}
type CounterRow = { credit: number; debit: number }

const HOUR_MS = 3_600_000

/**
 * Turns entries into the columns of one flush. Throws `BrokenStream` where an account's records in
 * this batch do not continue each other; the statement checks the first of them against Postgres.
 */
export function composeFlush(from: StreamPlace, entries: readonly Entry[]): Flush {
  const last = entries.at(-1)
  if (last === undefined) throw new RangeError("there is nothing to flush")
  const accounts = new Map<string, AccountChange>()
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
  return {
    partition: from.partition,
    generation: from.generation,
    from,
    to: { entryNumber: last.number, entryId: last.id },
    recordCount: rows.length,
    openedCount: opened.length,
    advancedCount: advanced.length,
    columns: {
      records: recordColumns(rows),
      opened: openedColumns(opened),
      advanced: advancedColumns(advanced),
      usage: usageColumns([...usage.values()]),
      counters: counterColumns([...counters]),
      instructions: instructionColumns(entries),
    },
  }
}

function followAccount(accounts: Map<string, AccountChange>, record: LedgerRecord): void {
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

function beginAccount(accounts: Map<string, AccountChange>, record: LedgerRecord): AccountChange {
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

function recordColumns(
  rows: readonly { record: LedgerRecord; entry: Entry }[],
): Flush["columns"]["records"] {
  return {
    accountIds: texts(rows, ({ record }) => record.accountId),
    seqs: numbers(rows, ({ record }) => record.seq),
    types: numbers(rows, ({ record }) => record.type),
    kinds: texts(rows, ({ record }) => record.kind),
    amounts: numbers(rows, ({ record }) => record.amountFen),
    befores: numbers(rows, ({ record }) => record.balanceBeforeFen),
    afters: numbers(rows, ({ record }) => record.balanceAfterFen),
    descriptions: texts(rows, ({ record }) => record.description),
    atMs: numbers(rows, ({ entry }) => entry.atMs),
    interfaces: texts(rows, ({ record }) => record.interface),
    quantities: numbers(rows, ({ record }) => record.quantity),
    keyIds: texts(rows, ({ record }) => record.keyId),
    sourceIds: texts(rows, ({ record }) => record.sourceId),
    requestIds: texts(rows, ({ record }) => record.requestId),
    slots: texts(rows, ({ entry }) => entry.slot),
    batches: numbers(rows, ({ entry }) => entry.batch),
  }
}

type Changed = readonly (readonly [string, AccountChange])[]

function openedColumns(rows: Changed): Flush["columns"]["opened"] {
  return {
    accountIds: texts(rows, ([accountId]) => accountId),
    balances: numbers(rows, ([, change]) => change.balance),
    seqs: numbers(rows, ([, change]) => change.seq),
    instructions: numbers(rows, ([, change]) => change.instruction),
    authVersions: numbers(rows, ([, change]) => change.authVersion),
  }
}

function advancedColumns(rows: Changed): Flush["columns"]["advanced"] {
  return {
    ...openedColumns(rows),
    seqsBefore: numbers(rows, ([, change]) => change.seqBefore),
    balancesBefore: numbers(rows, ([, change]) => change.balanceBefore),
    instructionsBefore: numbers(rows, ([, change]) => change.instructionBefore),
  }
}

function usageColumns(rows: readonly UsageRow[]): Flush["columns"]["usage"] {
  return {
    accountIds: texts(rows, (row) => row.accountId),
    keyIds: texts(rows, (row) => row.keyId),
    interfaces: texts(rows, (row) => row.interface),
    hourMs: numbers(rows, (row) => row.hourMs),
    calls: numbers(rows, (row) => row.calls),
    amounts: numbers(rows, (row) => row.amount),
  }
}

function counterColumns(
  rows: readonly (readonly [string, CounterRow])[],
): Flush["columns"]["counters"] {
  return {
    kinds: texts(rows, ([kind]) => kind),
    credits: numbers(rows, ([, row]) => row.credit),
    debits: numbers(rows, ([, row]) => row.debit),
  }
}

function instructionColumns(entries: readonly Entry[]): Flush["columns"]["instructions"] {
  const rows = entries.flatMap((entry) =>
    entry.records.filter((record) => record.instruction !== null),
  )
  return {
    accountIds: texts(rows, (record) => record.accountId),
    numbers: numbers(rows, (record) => record.instruction?.number ?? null),
  }
}

/** A Postgres array literal. Every text is quoted, so that a text `NULL` stays a text. */
function texts<Row>(rows: readonly Row[], read: (row: Row) => string | null): string {
  return literal(rows, (row) => {
    const text = read(row)
    return text === null ? "NULL" : `"${text.replace(/["\\]/g, "\\$&")}"`
  })
}

function numbers<Row>(rows: readonly Row[], read: (row: Row) => number | null): string {
  return literal(rows, (row) => String(read(row) ?? "NULL"))
}

function literal<Row>(rows: readonly Row[], write: (row: Row) => string): string {
  return `{${rows.map(write).join(",")}}`
}
