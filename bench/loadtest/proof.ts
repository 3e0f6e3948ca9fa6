import type { AccountId } from "../../src/ids.ts"
import type { Standing } from "./balances.ts"
import type { AcceptedCharges } from "./load.ts"

/** An account before and after, and what the load did with it. */
export type Audited = { before: Standing; after: Standing; charges: AcceptedCharges }

/** A change record, as the view `reporting.change_records` shows it. */
export type Recorded = {
  seq: number
  kind: string
  /** 1 adds, 2 takes. */
  type: number
  amountFen: number
  beforeFen: number
  afterFen: number
  key: string | null
  request: string | null
  charge: string | null
  source: string | null
}

export type AccountProof = {
  acceptedCalls: number
  records: number
  deductedFen: number
  lostCharged: number
  otherRecords: number
  findings: string[]
}

/**
 * Compares what a load saw of one account with what is recorded of it. `records` is everything
 * behind `before`, in its order.
 */
export function proveAccount(
  accountId: AccountId,
  { before, after, charges }: Audited,
  { records, requestId }: { records: readonly Recorded[]; requestId: string },
): AccountProof {
  const findings = [
    ...chainFindings({ before, after }, records),
    ...acceptedFindings(charges.seqs, records),
  ]
  const seqs = new Set(charges.seqs)
  const own = records.filter(({ seq, kind }) => kind === "charge" && seqs.has(seq))
  const deductedFen = own.reduce((sum, { amountFen }) => sum + amountFen, 0)
  if (own.length === charges.seqs.length && deductedFen !== charges.fen) {
    findings.push(`the answers say ${charges.fen} fen, the records ${deductedFen}`)
  }
  const unanswered = records
    .filter(isOfLoad(own, requestId))
    .filter(isUnanswered(seqs, records)).length
  if (unanswered > charges.lost) {
    findings.push(
      `${unanswered} charges are recorded that were not answered 200, and ${charges.lost} calls had no answer`,
    )
  }
  return {
    acceptedCalls: charges.seqs.length,
    records: own.length,
    deductedFen,
    lostCharged: unanswered,
    otherRecords: records.length - own.length - unanswered,
    findings: findings.map((finding) => `${accountId}: ${finding}.`),
  }
}

/** Numbered without a gap, and each balance made of the one before it. */
function chainFindings(
  { before, after }: Pick<Audited, "before" | "after">,
  records: readonly Recorded[],
): string[] {
  let [seq, balanceFen] = [before.seq, before.balanceFen]
  for (const record of records) {
    if (record.seq !== seq + 1) return [`record ${seq + 1} is missing`]
    const change = record.type === 1 ? record.amountFen : -record.amountFen
    if (record.beforeFen !== balanceFen || record.afterFen !== balanceFen + change) {
      return [
        `record ${record.seq} says ${record.beforeFen} fen, then ${record.afterFen}; before it were ${balanceFen}`,
      ]
    }
    seq = record.seq
    balanceFen = record.afterFen
  }
  if (seq === after.seq && balanceFen === after.balanceFen) return []
  return [
    `the records end at ${seq} with ${balanceFen} fen, the account at ${after.seq} with ${after.balanceFen}`,
  ]
}

/** Each accepted call has a charge of its own, which nothing has undone. */
function acceptedFindings(accepted: readonly number[], records: readonly Recorded[]): string[] {
  const charges = new Map(
    records.flatMap(({ seq, kind, charge }) => (kind === "charge" ? [[seq, charge] as const] : [])),
  )
  const reversed = reversedCharges(records)
  const missing = accepted.filter((seq) => !charges.has(seq)).length
  const repeated = accepted.length - new Set(accepted).size
  const undone = accepted.filter((seq) => reversed.has(charges.get(seq) ?? null)).length
  return [
    ...(missing > 0 ? [`${missing} accepted calls have no record`] : []),
    ...(repeated > 0 ? [`${repeated} calls were answered with another call's charge`] : []),
    ...(undone > 0 ? [`${undone} accepted calls were reversed`] : []),
  ]
}

/**
 * A charge of this load says its request id. Where a proxy in between has given calls ids of its
 * own, it is known by its key, as the records of the accepted calls show that.
 */
function isOfLoad(own: readonly Recorded[], requestId: string): (record: Recorded) => boolean {
  const isKept = own.length === 0 || own.some(({ request }) => request === requestId)
  if (isKept) return ({ kind, request }) => kind === "charge" && request === requestId
  const keys = new Set(own.map(({ key }) => key))
  return ({ kind, key }) => kind === "charge" && keys.has(key)
}

/** Nor put back: a call that was answered 503 may have been charged, and reversed. */
function isUnanswered(
  seqs: ReadonlySet<number>,
  records: readonly Recorded[],
): (record: Recorded) => boolean {
  const reversed = reversedCharges(records)
  return ({ seq, charge }) => !seqs.has(seq) && !reversed.has(charge)
}

function reversedCharges(records: readonly Recorded[]): ReadonlySet<string | null> {
  return new Set(records.flatMap(({ kind, source }) => (kind === "reversal" ? [source] : [])))
}
