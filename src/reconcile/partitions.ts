import type { Sql } from "../../db/connection.ts"
import { auditPartitions, type PartitionBooks } from "../../db/queries/audit-partition.ts"
import { auditRecords } from "../../db/queries/audit-records.ts"
import { RECONCILE_RECORDS_PAGE } from "../limits.ts"

/** What was found when positions and counter-accounts were compared with the records. */
export type Partitions = {
  books: readonly PartitionBooks[]
  /** Between counter-accounts and records, and between counter-accounts and what accounts have. */
  countersFen: number
  snapshotsFen: number
  findings: string[]
}

/** Of no record: money that moved between partitions when their number was changed. */
export const REPARTITION = "repartition"

/**
 * Adds up the records of every partition, page by page, and compares them with its watermark and its
 * counter-accounts. Records below a watermark do not change, so that this holds while it moves on.
 */
export async function auditRecordsOf(
  sql: Sql,
  { onPage }: { onPage(): Promise<void> },
): Promise<Partitions> {
  const books = await auditPartitions(sql)
  const found: Partitions = { books, countersFen: 0, snapshotsFen: 0, findings: [] }
  for (const partition of books) {
    const sums = await sumRecords(sql, partition, onPage)
    const { records, distinct } = sums
    const { records: watermark, beyond, highest } = partition
    if (records !== watermark || distinct !== watermark || beyond > 0) {
      found.findings.push(
        `partition ${partition.partition}: ${records + beyond} records at ${distinct + beyond} positions up to ${highest}, and the watermark counts ${watermark}`,
      )
    }
    compareCounters(partition, sums.kinds, found)
  }
  found.findings.push(...repartitioned(books))
  return found
}

type Sums = { creditFen: bigint; debitFen: bigint }

async function sumRecords(
  sql: Sql,
  { partition, records: through }: PartitionBooks,
  onPage: () => Promise<void>,
): Promise<{ records: number; distinct: number; kinds: Map<string, Sums> }> {
  const kinds = new Map<string, Sums>()
  let [records, distinct, after] = [0, 0, -1]
  while (after < through) {
    const to = Math.min(after + RECONCILE_RECORDS_PAGE, through)
    const page = await auditRecords(sql, { partition, after, through: to })
    records += page.records
    distinct += page.distinct
    for (const { kind, creditFen, debitFen } of page.kinds) {
      const known = kinds.get(kind) ?? NOTHING
      const credit = known.creditFen + BigInt(creditFen)
      kinds.set(kind, { creditFen: credit, debitFen: known.debitFen + BigInt(debitFen) })
    }
    after = to
    await onPage()
  }
  return { records, distinct, kinds }
}

const NOTHING: Sums = { creditFen: 0n, debitFen: 0n }

function compareCounters(
  { partition, counters, countersFen, snapshotsFen }: PartitionBooks,
  records: ReadonlyMap<string, Sums>,
  found: Partitions,
): void {
  const said = new Map(
    counters.map(({ kind, creditFen, debitFen }) => [
      kind,
      { creditFen: BigInt(creditFen), debitFen: BigInt(debitFen) },
    ]),
  )
  for (const kind of new Set([...said.keys(), ...records.keys()])) {
    if (kind === REPARTITION) continue
    const counter = said.get(kind) ?? NOTHING
    const sums = records.get(kind) ?? NOTHING
    if (counter.creditFen === sums.creditFen && counter.debitFen === sums.debitFen) continue
    found.countersFen += fenBetween(
      counter.creditFen - counter.debitFen,
      sums.creditFen - sums.debitFen,
    )
    found.findings.push(
      `${kind} of partition ${partition}: the counter-account has ${counter.creditFen} credit and ${counter.debitFen} debit, its records ${sums.creditFen} and ${sums.debitFen}`,
    )
  }
  if (countersFen === snapshotsFen) return
  found.snapshotsFen += fenBetween(BigInt(countersFen), BigInt(snapshotsFen))
  found.findings.push(
    `partition ${partition}: its counter-accounts make ${countersFen} fen, its accounts have ${snapshotsFen}`,
  )
}

/** What left one partition came into another. */
function repartitioned(books: readonly PartitionBooks[]): string[] {
  const rows = books.flatMap(({ counters }) => counters.filter(({ kind }) => kind === REPARTITION))
  const fen = rows.reduce((sum, row) => sum + BigInt(row.creditFen) - BigInt(row.debitFen), 0n)
  return fen === 0n ? [] : [`between partitions ${fen} fen were moved that went nowhere`]
}

export function fenBetween(left: bigint, right: bigint): number {
  return Number(left > right ? left - right : right - left)
}
