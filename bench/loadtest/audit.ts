import { connectSql, type Sql } from "../../db/connection.ts"
import type { AccountId } from "../../src/ids.ts"
import { LoadTestRefused } from "./options.ts"
import { type AccountProof, type Audited, proveAccount, type Recorded } from "./proof.ts"

/** What the record says of the load; a load whose findings are not empty does not balance. */
export type Audit = {
  /** Charges that the generator saw accepted, their records, and what those took. */
  acceptedCalls: number
  records: number
  deductedFen: number
  /** Of the calls without an answer, those that were charged. */
  lostCharged: number
  /** Records of the same accounts and time that this load did not make. */
  otherRecords: number
  accounts: number
  findings: string[]
}

export type AuditOptions = {
  accounts: ReadonlyMap<AccountId, Audited>
  /** Of every call of the load. */
  requestId: string
  startedAt: Date
  /** Called while the record is behind for so many accounts. */
  onWait(behind: number): void
}

const CATCH_UP_MS = 300_000
const CATCH_UP_POLL_MS = 250
const PAGE_ACCOUNTS = 200
const FINDINGS_MAX = 20
const STATEMENT_TIMEOUT_MS = 120_000
/** The record's clock is Redis's, and this one is ours: only months are told apart by it. */
const MARGIN_MS = 86_400_000

/**
 * Waits until the record has everything up to `after`, and proves each account from it. Reads the
 * views of `reporting` alone.
 */
export async function auditLoad(databaseUrl: string, options: AuditOptions): Promise<Audit> {
  const sql = connectSql(databaseUrl, {
    max: 1,
    applicationName: "fengate loadtest",
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  })
  try {
    await requireViews(sql)
    return await audit(sql, options)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

async function audit(
  sql: Sql,
  { accounts, requestId, startedAt, onWait }: AuditOptions,
): Promise<Audit> {
  const result: Audit = {
    ...{ acceptedCalls: 0, records: 0, deductedFen: 0, lostCharged: 0, otherRecords: 0 },
    accounts: accounts.size,
    findings: [],
  }
  const behind = await awaitRecord(sql, accounts, onWait)
  if (behind > 0) {
    const waited = `${CATCH_UP_MS / 1_000} s`
    result.findings.push(`After ${waited} the record of ${behind} accounts was not complete.`)
  }
  const from = new Date(startedAt.getTime() - MARGIN_MS)
  for (const page of pagesOf([...accounts])) {
    const records = await readRecords(sql, page, from)
    for (const [accountId, audited] of page) {
      add(
        result,
        proveAccount(accountId, audited, {
          requestId,
          records: records.get(accountId) ?? [],
        }),
      )
    }
  }
  const more = result.findings.length - FINDINGS_MAX
  if (more > 0) result.findings.splice(FINDINGS_MAX, more, `And ${more} more.`)
  return result
}

function add(result: Audit, proof: AccountProof): void {
  result.acceptedCalls += proof.acceptedCalls
  result.records += proof.records
  result.deductedFen += proof.deductedFen
  result.lostCharged += proof.lostCharged
  result.otherRecords += proof.otherRecords
  result.findings.push(...proof.findings)
}

async function requireViews(sql: Sql): Promise<void> {
  try {
    await sql`select 1 from reporting.change_records limit 0`
  } catch (error) {
    // The message of a failed login may name it; the operator knows which one it was.
    throw new LoadTestRefused(
      "--database-url must name the installation's Postgres and a login that may read the views of reporting.",
      { cause: error },
    )
  }
}

/** Resolves with how many accounts' records are not complete: none, unless it took too long. */
async function awaitRecord(
  sql: Sql,
  accounts: ReadonlyMap<AccountId, Audited>,
  onWait: (behind: number) => void,
): Promise<number> {
  const deadlineAt = performance.now() + CATCH_UP_MS
  const ids = literal([...accounts.keys()])
  const wanted = literal([...accounts.values()].map(({ after }) => after.seq))
  for (;;) {
    const [row] = await sql<{ behind: string }[]>`
      select count(*) as behind
      from unnest(${ids}::text::text[], ${wanted}::text::bigint[]) as wanted(account_id, seq)
        left join reporting.accounts a using (account_id)
      where coalesce(a.last_seq, -1) < wanted.seq
    `
    const behind = Number(row?.behind)
    if (behind === 0 || performance.now() >= deadlineAt) return behind
    onWait(behind)
    await Bun.sleep(CATCH_UP_POLL_MS)
  }
}

type Row = {
  account: string
  seq: string
  kind: string
  type: number
  amount: string
  before: string
  after: string
  key: string | null
  request: string | null
  charge: string | null
  source: string | null
}

/** The records of a page of accounts behind what each had before, up to what it had afterwards. */
async function readRecords(
  sql: Sql,
  page: readonly [AccountId, Audited][],
  from: Date,
): Promise<Map<string, Recorded[]>> {
  const rows = await sql<Row[]>`
    select r.account_id as account, r.seq, r.kind, r.type, r.amount_fen as amount,
      r.balance_before_fen as before, r.balance_after_fen as after, r.key_id as key,
      r.request_id as request, r.charge_id as charge, r.source_id as source
    from unnest(
        ${literal(page.map(([accountId]) => accountId))}::text::text[],
        ${literal(page.map(([, { before }]) => before.seq))}::text::bigint[],
        ${literal(page.map(([, { after }]) => after.seq))}::text::bigint[]
      ) as wanted(account_id, low, high)
      join reporting.change_records r on r.account_id = wanted.account_id
    where r.seq > wanted.low and r.seq <= wanted.high and r.at >= ${from}
    order by r.account_id, r.seq
  `
  const records = new Map<string, Recorded[]>()
  for (const { account, seq, amount, before, after, ...rest } of rows) {
    const list = records.get(account) ?? []
    records.set(account, list)
    list.push({
      ...rest,
      seq: Number(seq),
      amountFen: Number(amount),
      beforeFen: Number(before),
      afterFen: Number(after),
    })
  }
  return records
}

/** Ids and numbers need no quotes in a Postgres array. */
function literal(values: readonly (string | number)[]): string {
  return `{${values.join(",")}}`
}

function pagesOf<Item>(items: readonly Item[]): Item[][] {
  const pages: Item[][] = []
  for (let at = 0; at < items.length; at += PAGE_ACCOUNTS) {
    pages.push(items.slice(at, at + PAGE_ACCOUNTS))
  }
  return pages
}
