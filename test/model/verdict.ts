import type { Sql } from "../../db/connection.ts"
import type { Owner } from "./clients.ts"
import type { Asked } from "./linearise.ts"
import type { Answer } from "./model.ts"

/** Every request of a scenario, as its client knows it, against the records that Postgres has. */

export type Told = Asked & { accountId: string }

export type Verdict = {
  /** Answered with a charge that is not there, is another, or was put back. */
  lost: number
  duplicated: number
  /** There, and nobody asked; and there, though it was refused or answered 503, and never told again. */
  phantom: number
  refusedCharged: number
  overdraft: number
  /** Without an answer; and those of them that are charged once or not at all. */
  unknown: number
  resolved: number
  /** Records that Redis lost before they were flushed: as the incidents tell it, and as the model counts. */
  detectedLoss: number
  actualLoss: number
}

type Row = {
  accountId: string
  seq: number
  kind: string
  requestId: string | null
  amountFen: number
  balanceFen: number
  isReversed: boolean
}

export const NOTHING: Verdict = {
  ...{ lost: 0, duplicated: 0, phantom: 0, refusedCharged: 0, overdraft: 0 },
  ...{ unknown: 0, resolved: 0, detectedLoss: 0, actualLoss: 0 },
}

export async function judge(
  sql: Sql,
  told: readonly Told[],
  owners: readonly Owner[],
): Promise<Verdict> {
  const rows = await readRows(
    sql,
    owners.map(({ id }) => id),
  )
  const standing = rows.filter(({ kind, isReversed }) => isCharge(kind) && !isReversed)
  const bySeq = new Map(standing.map((row) => [`${row.accountId} ${row.seq}`, row]))
  const byCause = Map.groupBy(standing, ({ kind, requestId }) => `${kind} ${requestId}`)
  const asked = Map.groupBy(told, ({ request }) => causeOf(request))
  const paid = new Set<Row>()
  const verdict = { ...NOTHING }
  for (const { accountId, request, outcome } of told) {
    if (typeof outcome === "string") {
      verdict.unknown++
      if ((byCause.get(causeOf(request))?.length ?? 0) <= 1) verdict.resolved++
    } else if (outcome.status === "accepted") {
      const row = bySeq.get(`${accountId} ${outcome.seq}`)
      if (row !== undefined && isOf(row, request, outcome)) paid.add(row)
      else verdict.lost++
    }
  }
  for (const [cause, charges] of byCause) {
    verdict.duplicated += charges.length - 1
    const causes = asked.get(cause)
    const isTold =
      causes?.some(({ outcome }) => outcome === "lost") || charges.some((row) => paid.has(row))
    if (causes === undefined) verdict.phantom += charges.length
    else if (isTold !== true) verdict.refusedCharged++
  }
  verdict.overdraft = rows.filter(({ balanceFen }) => balanceFen < 0).length
  verdict.detectedLoss = await countLost(sql)
  verdict.actualLoss = owners.reduce((sum, { account }) => sum + account.seq, 0) - rows.length
  return verdict
}

function isOf(
  row: Row,
  request: Asked["request"],
  { isReplay, amountFen, balanceFen }: Answer,
): boolean {
  const isNamed = isReplay === true || causeOf(request) === `${row.kind} ${row.requestId}`
  return isNamed && row.amountFen === amountFen && row.balanceFen === balanceFen
}

/** How its record is called. */
function causeOf(request: Asked["request"]): string {
  return request.verb === "capture" ? `capture ${request.hold}` : `${request.verb} ${request.op}`
}

function isCharge(kind: string): boolean {
  return kind === "charge" || kind === "capture"
}

async function countLost(sql: Sql): Promise<number> {
  const [row] = await sql<{ records: number }[]>`
    select coalesce(sum(records), 0)::float8 as records from incidents where kind = 'records_lost'
  `
  return row?.records ?? 0
}

async function readRows(sql: Sql, accountIds: readonly string[]): Promise<Row[]> {
  return await sql<Row[]>`
    select account_id as "accountId", seq::float8 as seq, kind, request_id as "requestId",
      amount_fen::float8 as "amountFen", balance_after_fen::float8 as "balanceFen",
      exists (select 1 from change_records v where v.account_id = c.account_id
        and v.kind = 'reversal' and v.source_id like '%\\_' || c.seq) as "isReversed"
    from change_records c
    where account_id = any(${`{${accountIds.join(",")}}`}::text::text[])
  `
}
