import type { Flush, flushBatch } from "../../../db/queries/flush-batch.ts"
import {
  monthOf,
  type PostgresState,
  type RecordRow,
  type ResultRow,
  recordName,
  rowsOf,
  type SnapshotRow,
  SqlError,
  type StandIn,
} from "./state.ts"

/** The flush statement: all of it or nothing, with the checks of `db/queries/flush-batch.ts`. */
export function createFlush(state: () => PostgresState): StandIn<typeof flushBatch> {
  return (flush) => {
    const now = state()
    const row = now.partitions[flush.partition]
    if (row === undefined || !standsAt(row, flush)) return null
    // Nothing is written before everything is checked.
    const records = readRecords(now, flush)
    const opened = readOpened(now, flush)
    const advanced = readAdvanced(now, flush)
    checkInstructions(now, flush)
    const results = readResults(now, flush)
    for (const record of records) {
      now.records.push(record)
      now.recordOf.set(recordName(record.accountId, record.seq), record)
    }
    for (const [accountId, snapshot] of [...opened, ...advanced]) {
      now.snapshots.set(accountId, snapshot)
    }
    noteRepeats(now, flush)
    for (const result of results) now.results.set(recordName(result.accountId, result.seq), result)
    count(now, flush)
    instruct(now, flush)
    const { entryNumber, entryId, records: total, chainHead } = flush.to
    Object.assign(row, { entryNumber, entryId, records: total, chainHead })
    return { records: row.records }
  }
}

function standsAt(
  row: { generation: number; entryNumber: number; entryId: string } & Record<"records", number> & {
      chainHead: string
    },
  { generation, from }: Flush,
): boolean {
  return (
    row.generation === generation &&
    row.entryNumber === from.entryNumber &&
    row.entryId === from.entryId &&
    row.records === from.records &&
    row.chainHead === from.chainHead
  )
}

function must(claim: boolean, promise: string): void {
  if (!claim) throw new SqlError("FG001", `broken invariant: ${promise}`)
}

function check(claim: boolean, name: string): void {
  if (!claim) throw new SqlError("23514", `new row violates check constraint "${name}"`)
}

function unique(isNew: boolean, name: string): void {
  if (!isNew) throw new SqlError("23505", `duplicate key value violates "${name}"`)
}

function readRecords(
  state: PostgresState,
  { partition, to, columns, recordCount }: Flush,
): RecordRow[] {
  const names = new Set<string>()
  const rows = rowsOf(columns.records)
  must(rows.length === recordCount, "each record is inserted once")
  return rows.map((row, i) => {
    const record = {
      accountId: row.text("accountIds"),
      seq: row.number("seqs"),
      type: row.number("types"),
      kind: row.text("kinds"),
      amountFen: row.number("amounts"),
      beforeFen: row.number("befores"),
      afterFen: row.number("afters"),
      description: row.text("descriptions"),
      atMs: row.number("atMs"),
      interface: row.maybe("interfaces"),
      quantity: row.maybeNumber("quantities"),
      keyId: row.maybe("keyIds"),
      sourceId: row.maybe("sourceIds"),
      requestId: row.maybe("requestIds"),
      slot: row.maybe("slots"),
      batch: row.number("batches"),
      partition,
      position: to.records - recordCount + i + 1,
    }
    const { amountFen, beforeFen, afterFen, type } = record
    check(amountFen > 0, "amount_is_positive")
    check(afterFen >= 0, "balance_is_never_negative")
    check(type === 1 || type === 2, "type_is_recharge_or_deduct")
    const sign = type === 1 ? 1 : -1
    check(afterFen === beforeFen + sign * amountFen, "before_and_amount_make_after")
    check(state.months.has(monthOf(record.atMs)), "a partition of its month")
    // A second one at another moment would be taken: only the account's snapshot forbids it.
    const name = `${recordName(record.accountId, record.seq)} ${record.atMs}`
    const known = state.recordOf.get(recordName(record.accountId, record.seq))
    unique(!names.has(name) && known?.atMs !== record.atMs, "change_records_pkey")
    names.add(name)
    return record
  })
}

function readOpened(state: PostgresState, flush: Flush): [string, SnapshotRow][] {
  const rows = rowsOf(flush.columns.opened)
  must(rows.length === flush.openedCount, "each account is opened once")
  return rows.map((row) => {
    const accountId = row.text("accountIds")
    unique(!state.snapshots.has(accountId), "account_snapshots_pkey")
    const snapshot: SnapshotRow = {
      partition: flush.partition,
      balanceFen: row.number("balances"),
      lastSeq: row.number("seqs"),
      instruction: row.number("instructions"),
      authVersion: row.number("authVersions"),
      status: "open",
      chainKey: row.text("chainKeys"),
    }
    return [accountId, snapshot]
  })
}

function readAdvanced(state: PostgresState, flush: Flush): [string, SnapshotRow][] {
  const promise = "each account continues from its last record, balance and instruction"
  const rows = rowsOf(flush.columns.advanced)
  must(rows.length === flush.advancedCount, promise)
  return rows.map((row) => {
    const accountId = row.text("accountIds")
    const before = state.snapshots.get(accountId)
    if (before === undefined) throw new SqlError("FG001", `broken invariant: ${promise}`)
    const instructionBefore = row.maybeNumber("instructionsBefore") ?? before.instruction
    must(before.lastSeq === row.number("seqsBefore"), promise)
    must(before.balanceFen === row.number("balancesBefore"), promise)
    must(before.instruction === instructionBefore, promise)
    const after: SnapshotRow = {
      ...before,
      balanceFen: row.number("balances"),
      lastSeq: row.number("seqs"),
      instruction: row.maybeNumber("instructions") ?? before.instruction,
      authVersion: row.maybeNumber("authVersions") ?? before.authVersion,
    }
    check(after.balanceFen >= 0, "snapshot_is_never_negative")
    return [accountId, after]
  })
}

function checkInstructions(state: PostgresState, flush: Flush): void {
  const promise = "each instruction has one cause"
  const rows = rowsOf(flush.columns.instructions)
  must(rows.length === flush.instructedCount, promise)
  for (const row of rows) {
    const made = state.instructions.get(row.text("accountIds")) ?? []
    const known = made.find(({ number }) => number === row.number("numbers"))
    must(known === undefined || known.sourceId === row.maybe("sourceIds"), promise)
  }
}

function readResults(state: PostgresState, { partition, columns }: Flush): ResultRow[] {
  return rowsOf(columns.keyed).map((row) => {
    const result = {
      accountId: row.text("accountIds"),
      seq: row.number("seqs"),
      partition,
      atMs: row.number("atMs"),
      digest: row.text("digests"),
      fingerprint: row.text("fingerprints"),
      heldFen: row.number("heldFen"),
      told: row.text("told") === "true",
    }
    const name = recordName(result.accountId, result.seq)
    unique(!state.results.has(name), "idempotency_results_pkey")
    return result
  })
}

/** Of what was there before the statement alone, as Postgres has it. */
function noteRepeats(state: PostgresState, { columns }: Flush): void {
  for (const row of rowsOf(columns.revoked)) {
    state.results.delete(recordName(row.text("accountIds"), row.number("seqs")))
  }
  for (const row of rowsOf(columns.told)) {
    const result = state.results.get(recordName(row.text("accountIds"), row.number("seqs")))
    if (result !== undefined) result.told = true
  }
}

function count(state: PostgresState, { partition, columns }: Flush): void {
  for (const row of rowsOf(columns.counters)) {
    const name = `${partition} ${row.text("kinds")}`
    const before = state.counters.get(name) ?? { creditFen: 0, debitFen: 0 }
    state.counters.set(name, {
      creditFen: before.creditFen + row.number("credits"),
      debitFen: before.debitFen + row.number("debits"),
    })
  }
}

/** One that a restored Postgres has forgotten is written as it was carried out; its number stays its own. */
function instruct(state: PostgresState, { columns }: Flush): void {
  for (const row of rowsOf(columns.instructions)) {
    const accountId = row.text("accountIds")
    const made = state.instructions.get(accountId) ?? []
    state.instructions.set(accountId, made)
    const known = made.find(({ number }) => number === row.number("numbers"))
    if (known !== undefined) {
      known.isFlushed = true
      continue
    }
    const account = state.accounts.get(accountId)
    if (account !== undefined) {
      account.lastInstruction = Math.max(account.lastInstruction, row.number("numbers"))
      account.authVersion = Math.max(account.authVersion, row.number("authVersions"))
    }
    made.push({
      number: row.number("numbers"),
      kind: row.text("kinds"),
      amountFen: row.number("amounts"),
      authVersion: row.number("authVersions"),
      sourceId: row.maybe("sourceIds"),
      description: row.text("descriptions"),
      createdAtMs: row.number("atMs"),
      isFlushed: true,
    })
  }
}
