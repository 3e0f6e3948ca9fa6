import type { Sql } from "../../db/connection.ts"
import { chargeId, parseAccountId } from "../../src/ids.ts"
import type { Intent, Journal } from "./journal.ts"
import { type Evidence, namesOf } from "./loss.ts"

/**
 * Each request of a journal against the records that Postgres has of it. `lost`: answered with a charge
 * that is not there, or is another; `duplicated`: there more than once, or put back more than once;
 * `phantom`: there, and nobody asked; `refusedCharged`: there, and refused.
 */
export type Verdict = {
  lost: number
  duplicated: number
  phantom: number
  refusedCharged: number
  overdraft: number
  /** Without an answer; and those of them that are charged once or not at all. */
  unknown: number
  resolved: number
  /** Records that a store had answered and lost: as the incidents tell it, and as the test saw it. */
  detectedLoss: number
  actualLoss: number
  /** Charges that were answered, and went with the records lost; what they had taken. */
  lostCalls: number
  lostFen: number
  /** Beside these. */
  done: number
  refused: number
  reversed: number
  /** One sentence for each thing that is not as it must be. */
  findings: string[]
}

export type Row = {
  accountId: string
  seq: number
  kind: string
  amountFen: number
  balanceAfterFen: number
  description: string
  atMs: number
  requestId: string | null
  sourceId: string | null
  code: string | null
}

/** How far the records were compared before, by partition; and the last incident. */
export type Mark = { positions: readonly number[]; incident: number }

export async function readMark(sql: Sql): Promise<Mark> {
  const rows = await sql<{ records: number }[]>`
    select records::float8 as records from partitions order by partition
  `
  const [last] = await sql<{ id: number }[]>`
    select coalesce(max(id), 0)::float8 as id from incidents
  `
  return { positions: rows.map(({ records }) => records), incident: last?.id ?? 0 }
}

export async function readRows(sql: Sql, { positions }: Mark): Promise<Row[]> {
  const pages = await Promise.all(
    positions.map(
      (position, partition) => sql<Row[]>`
        select c.account_id as "accountId", c.seq::float8 as seq, c.kind,
          c.amount_fen::float8 as "amountFen", c.balance_after_fen::float8 as "balanceAfterFen",
          c.description, extract(epoch from c.at)::float8 * 1000 as "atMs",
          c.request_id as "requestId", c.source_id as "sourceId", k.code
        from change_records c
        left join redemptions r on r.id = c.source_id
        left join redemption_codes k on k.id = r.code_id
        where c.partition = ${partition} and c.position > ${position}
      `,
    ),
  )
  return pages.flat()
}

export type Incident = {
  partition: number
  generation: number
  fromEntry: number
  throughEntry: number
  records: number
}

async function readLosses(sql: Sql, { incident }: Mark): Promise<Incident[]> {
  return await sql<Incident[]>`
    select partition, generation, from_entry::float8 as "fromEntry",
      through_entry::float8 as "throughEntry", records::float8 as records
    from incidents where kind = 'records_lost' and id > ${incident} order by id
  `
}

type Compare = { sql: Sql; journal: Journal; mark: Mark; evidence: readonly Evidence[] }

/** When nothing charges any more, and everything is flushed. */
export async function compare({ sql, journal, mark, evidence }: Compare): Promise<Verdict> {
  const rows = await readRows(sql, mark)
  const losses = await readLosses(sql, mark)
  const verdict = newVerdict()
  const { standing, reversed } = standingOf(rows, verdict)
  const byIntent = new Map<Intent, Row[]>()
  for (const row of standing) {
    const intent = journal.find(nameOf(row))
    if (intent === undefined) note(verdict, "phantom", `nobody asked for ${tell(row)}`)
    else byIntent.set(intent, [...(byIntent.get(intent) ?? []), row])
  }
  const gone = goneOf(rows, evidence)
  const byName = new Map(gone.flatMap((record) => record.names.map((name) => [name, record])))
  const missing: Evidence[] = []
  for (const intent of journal.intents.values()) {
    const found = byIntent.get(intent) ?? []
    const excuse = byName.get(intent.name)
    if (intent.class === "done" && found.length === 0 && excuse !== undefined) missing.push(excuse)
    else judge(verdict, intent, { found, reversed, isGone: excuse !== undefined })
  }
  countLoss(verdict, { losses, missing, gone })
  for (const [what, times] of journal.strange) verdict.findings.push(`${times} times ${what}`)
  return verdict
}

/** Charges that were not put back, and credits that are no reversals. */
function standingOf(
  rows: readonly Row[],
  verdict: Verdict,
): { standing: Row[]; reversed: Map<string, Row> } {
  const charges = new Map<string, Row>()
  const credits: Row[] = []
  const reversed = new Map<string, Row>()
  for (const row of rows) {
    if (row.balanceAfterFen < 0) note(verdict, "overdraft", `the balance is negative: ${tell(row)}`)
    if (row.kind === "charge" || row.kind === "capture") charges.set(chargeIdOf(row), row)
    else if (row.kind === "redemption") credits.push(row)
  }
  for (const row of rows) {
    if (row.kind !== "reversal") continue
    const { sourceId: id } = row
    const charge = id === null ? undefined : charges.get(id)
    if (id !== null && reversed.has(id)) note(verdict, "duplicated", `put back twice: ${id}`)
    if (charge === undefined) note(verdict, "lost", `a charge of before is put back: ${tell(row)}`)
    if (id !== null && charge !== undefined) reversed.set(id, charge)
  }
  verdict.reversed = reversed.size
  for (const id of reversed.keys()) charges.delete(id)
  return { standing: [...charges.values(), ...credits], reversed }
}

/**
 * The records that a Redis had, and that Postgres does not have. Where a clock went back, what was written
 * under the number of one that was lost bears its moment as well.
 */
function goneOf(rows: readonly Row[], evidence: readonly Evidence[]): Evidence[] {
  const keyOf = (accountId: string, seq: number, atMs: number, names: readonly string[]) =>
    [accountId, seq, atMs, ...names].join(" ")
  const kept = new Set(
    rows.map(({ accountId, seq, atMs, description, requestId }) =>
      keyOf(accountId, seq, Math.round(atMs), namesOf({ description, requestId })),
    ),
  )
  return evidence.filter(
    ({ accountId, seq, atMs, names }) => !kept.has(keyOf(accountId, seq, atMs, names)),
  )
}

type Found = {
  found: readonly Row[]
  reversed: ReadonlyMap<string, Row>
  isGone: boolean
}

function judge(verdict: Verdict, intent: Intent, { found, reversed, isGone }: Found): void {
  const { name, told } = intent
  const [row] = found
  if (found.length > 1) {
    note(verdict, "duplicated", `${name} is there ${found.length} times: ${found.map(tell).join()}`)
  }
  switch (intent.class) {
    case "open":
      verdict.findings.push(`${name} was never answered, nor given up`)
      return
    case "unknown":
      verdict.unknown++
      if (found.length <= 1) verdict.resolved++
      return
    case "refused":
      verdict.refused++
      if (row !== undefined) note(verdict, "refusedCharged", `refused and charged: ${tell(row)}`)
      return
    case "done": {
      verdict.done++
      if (row === undefined) {
        const ids = told.map((each) => each.chargeId)
        const what = ids.some((id) => reversed.has(id)) ? "put back" : "not there"
        return note(verdict, "lost", `${name} of ${intent.accountId} is ${what}: ${ids.join()}`)
      }
      // It was answered, lost, and asked for again: the second answer counts.
      const isAnswered = told.length === 0 || told.some((each) => isToldOf(each, row))
      const isSame = isGone || new Set(told.map(({ chargeId: id }) => id)).size <= 1
      if (!isAnswered) note(verdict, "lost", `${name} was answered otherwise than ${tell(row)}`)
      if (!isSame) note(verdict, "duplicated", `${name} was answered with two charges`)
    }
  }
}

function isToldOf({ chargeId: id, seq, amountFen, balanceAfterFen }: Intent["told"][0], row: Row) {
  const isNamed = row.kind === "redemption" ? row.sourceId === id : chargeIdOf(row) === id
  const isNumbered = seq === null || seq === row.seq
  const isBalanced = balanceAfterFen === null || balanceAfterFen === row.balanceAfterFen
  return isNamed && isNumbered && isBalanced && amountFen === row.amountFen
}

/**
 * What nobody was told of is no loss. So, of the records that went at one time, those count which stand at
 * or before the last that somebody was told of, or that an incident claims with something told among it.
 * (Under the same numbers, others may have been written and lost since.) And a gateway may have been told
 * of what it then told nobody: an incident that claims nothing else is held against what went at one time.
 */
function countLoss(
  verdict: Verdict,
  { losses, missing, gone }: { losses: readonly Incident[]; missing: Evidence[]; gone: Evidence[] },
): void {
  verdict.lostCalls = missing.length
  verdict.lostFen = missing.reduce((sum, { amountFen }) => sum + amountFen, 0)
  const isOfOneTime = (one: Evidence, other: Evidence) =>
    one.time === other.time && one.partition === other.partition
  const isTold = (record: Evidence) =>
    missing.some(
      (told) =>
        isOfOneTime(told, record) &&
        told.generation === record.generation &&
        (told.entry >= record.entry ||
          losses.some((loss) => isIn(record, loss) && isIn(told, loss))),
    )
  verdict.detectedLoss = losses.reduce((sum, { records }) => sum + records, 0)
  const told = new Set(gone.filter(isTold))
  const untold = losses.filter((loss) => !gone.some((each) => isIn(each, loss) && told.has(each)))
  const heard = untold.flatMap((loss) => claimedBy(loss, gone))
  verdict.actualLoss = new Set([...told, ...heard]).size
  if (verdict.detectedLoss !== verdict.actualLoss) {
    const text = JSON.stringify({ losses, gone: gone.length, missing: missing.slice(0, 5) })
    verdict.findings.push(`the loss that was found is not the one that was: ${text}`)
  }
}

/** What went at one time within its range: where it went at several, as many as it says, if so many did. */
function claimedBy(loss: Incident, gone: readonly Evidence[]): readonly Evidence[] {
  const byTime = Map.groupBy(
    gone.filter((record) => isIn(record, loss)),
    ({ time }) => time,
  )
  const times = [...byTime.values()]
  return times.find(({ length }) => length === loss.records) ?? times[0] ?? []
}

function isIn(record: Evidence, loss: Incident): boolean {
  const { partition, generation, entry } = record
  const isSame = partition === loss.partition && generation === loss.generation
  return isSame && entry >= loss.fromEntry && entry <= loss.throughEntry
}

function newVerdict(): Verdict {
  return {
    ...{ lost: 0, duplicated: 0, phantom: 0, refusedCharged: 0, overdraft: 0 },
    ...{ unknown: 0, resolved: 0, detectedLoss: 0, actualLoss: 0, lostCalls: 0, lostFen: 0 },
    ...{ done: 0, refused: 0, reversed: 0, findings: [] },
  }
}

type Count = "lost" | "duplicated" | "phantom" | "refusedCharged" | "overdraft"

function note(verdict: Verdict, count: Count, sentence: string): void {
  verdict[count]++
  if (verdict.findings.length < 40) verdict.findings.push(`${count}: ${sentence}`)
}

/** A redemption is known by its code; what a client describes, by that; a forwarded call by its request. */
function nameOf({ kind, code, description, requestId, accountId }: Row): string {
  if (kind === "redemption") return nameOfRedemption(code ?? "", accountId)
  return description.startsWith("~") ? description : (requestId ?? "")
}

/** Of a code that many may redeem, each account's is an intent of its own. */
export function nameOfRedemption(code: string, accountId: string): string {
  return `${code} ${accountId}`
}

function chargeIdOf({ accountId, seq, atMs }: Row): string {
  return chargeId({ accountId: parseAccountId(accountId), seq, at: new Date(Math.round(atMs)) })
}

function tell(row: Row): string {
  const { kind, accountId, seq, amountFen, requestId, sourceId, description } = row
  return `${kind} ${accountId} ${seq} of ${amountFen} fen (${requestId ?? sourceId}, ${description})`
}

type Counts = Omit<Verdict, "lostCalls" | "lostFen" | "done" | "refused" | "reversed" | "findings">

/** The one line of a run. */
export function lineOf(verdict: Counts): string {
  const { lost, duplicated, phantom, refusedCharged, overdraft, unknown, resolved } = verdict
  const { detectedLoss, actualLoss } = verdict
  const loss =
    detectedLoss === actualLoss
      ? `actual_loss=${actualLoss}`
      : `${detectedLoss} actual_loss=${actualLoss}`
  return `lost=${lost} duplicated=${duplicated} phantom=${phantom} refused_charged=${refusedCharged} overdraft=${overdraft} unknown=${unknown} resolved=${resolved} detected_loss=${loss}`
}

export function isClean(verdict: Verdict): boolean {
  const { lost, duplicated, phantom, refusedCharged, overdraft, unknown, resolved } = verdict
  const wrong = lost + duplicated + phantom + refusedCharged + overdraft
  return wrong === 0 && unknown === resolved && verdict.findings.length === 0
}
