import type { Flush } from "../../db/queries/flush-batch.ts"
import type { AccountId } from "../ids.ts"
import type { LedgerRecord } from "../ledger/records.ts"
import type { Entry } from "./read-entries.ts"

/** The columns of a flush, each as one Postgres array. */

export type Row = { record: LedgerRecord; entry: Entry }

/** What the batch does to one account: where it must stand before, and where it stands after. */
export type AccountChange = {
  isOpened: boolean
  seqBefore: number
  balanceBefore: number
  instructionBefore: number | null
  seq: number
  balance: number
  instruction: number | null
  authVersion: number | null
}

export type UsageRow = {
  accountId: string
  keyId: string
  interface: string
  hourMs: number
  calls: number
  amount: number
}
export type CounterRow = { credit: number; debit: number }

export function recordColumns(rows: readonly Row[]): Flush["columns"]["records"] {
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

type Changed = readonly (readonly [AccountId, AccountChange])[]

export function openedColumns(
  rows: Changed,
  chainKeys: ReadonlyMap<AccountId, string>,
): Flush["columns"]["opened"] {
  return {
    ...changedColumns(rows),
    chainKeys: texts(rows, ([accountId]) => chainKeys.get(accountId) ?? ""),
  }
}

function changedColumns(rows: Changed) {
  return {
    accountIds: texts(rows, ([accountId]) => accountId),
    balances: numbers(rows, ([, change]) => change.balance),
    seqs: numbers(rows, ([, change]) => change.seq),
    instructions: numbers(rows, ([, change]) => change.instruction),
    authVersions: numbers(rows, ([, change]) => change.authVersion),
  }
}

export function advancedColumns(rows: Changed): Flush["columns"]["advanced"] {
  return {
    ...changedColumns(rows),
    seqsBefore: numbers(rows, ([, change]) => change.seqBefore),
    balancesBefore: numbers(rows, ([, change]) => change.balanceBefore),
    instructionsBefore: numbers(rows, ([, change]) => change.instructionBefore),
  }
}

export function usageColumns(rows: readonly UsageRow[]): Flush["columns"]["usage"] {
  return {
    accountIds: texts(rows, (row) => row.accountId),
    keyIds: texts(rows, (row) => row.keyId),
    interfaces: texts(rows, (row) => row.interface),
    hourMs: numbers(rows, (row) => row.hourMs),
    calls: numbers(rows, (row) => row.calls),
    amounts: numbers(rows, (row) => row.amount),
  }
}

export function counterColumns(
  rows: readonly (readonly [string, CounterRow])[],
): Flush["columns"]["counters"] {
  return {
    kinds: texts(rows, ([kind]) => kind),
    credits: numbers(rows, ([, row]) => row.credit),
    debits: numbers(rows, ([, row]) => row.debit),
  }
}

/** Where an instruction came from stands in its record: a restored Postgres may have forgotten it. */
export function instructionColumns(
  entries: readonly Entry[],
): Pick<Flush, "instructedCount"> & { instructions: Flush["columns"]["instructions"] } {
  const rows = entries.flatMap(({ records, atMs }) =>
    records.flatMap((record) =>
      record.instruction === null ? [] : [{ record, atMs, instruction: record.instruction }],
    ),
  )
  const instructions = {
    accountIds: texts(rows, ({ record }) => record.accountId),
    numbers: numbers(rows, ({ instruction }) => instruction.number),
    kinds: texts(rows, ({ record: { kind } }) => (kind === "passed_over" ? "reversal" : kind)),
    amounts: numbers(rows, ({ record }) => record.amountFen),
    authVersions: numbers(rows, ({ instruction }) => instruction.authVersion),
    sourceIds: texts(rows, ({ record }) => record.sourceId),
    descriptions: texts(rows, ({ record }) => record.description),
    atMs: numbers(rows, ({ atMs }) => atMs),
  }
  return { instructedCount: rows.length, instructions }
}

/** The results that a rebuild can give back: those whose charge nobody has taken back in this batch. */
export function keyedColumns(
  rows: readonly Row[],
  told: readonly Charge[],
): Flush["columns"]["keyed"] {
  const isTold = new Set(told.map(nameOf))
  const found = rows.filter(({ record }) => record.keyed !== null)
  const revoked = new Set(found.length === 0 ? [] : revokedOf(rows).map(nameOf))
  const kept = found.filter(({ record }) => !revoked.has(nameOf(record)))
  return {
    accountIds: texts(kept, ({ record }) => record.accountId),
    seqs: numbers(kept, ({ record }) => record.seq),
    atMs: numbers(kept, ({ entry }) => entry.atMs),
    digests: texts(kept, ({ record }) => record.keyed?.digest ?? null),
    fingerprints: texts(kept, ({ record }) => record.keyed?.fingerprint ?? null),
    heldFen: numbers(kept, ({ record }) => record.keyed?.heldFen ?? null),
    told: texts(kept, ({ record }) => String(isTold.has(nameOf(record)))),
  }
}

export function chargeColumns(charges: readonly Charge[]): Record<"accountIds" | "seqs", string> {
  return {
    accountIds: texts(charges, ({ accountId }) => accountId),
    seqs: numbers(charges, ({ seq }) => seq),
  }
}

type Charge = { accountId: AccountId; seq: number }

/** The charges whose answer was given again, to a repeat of their request. */
export function toldOf(entries: readonly Entry[]): Charge[] {
  return entries.flatMap(({ records }) =>
    records.flatMap(({ accountId, toldSeq }) =>
      toldSeq === null ? [] : [{ accountId, seq: toldSeq }],
    ),
  )
}

export function revokedOf(rows: readonly Row[]): Charge[] {
  const reversals = rows.filter(({ record }) => record.revokedSeq !== null)
  return reversals.map(({ record: { accountId, revokedSeq } }) => ({
    accountId,
    seq: revokedSeq ?? 0,
  }))
}

function nameOf({ accountId, seq }: Charge): string {
  return `${accountId} ${seq}`
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
