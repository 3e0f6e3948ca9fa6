import { expect } from "bun:test"
import type { Sql } from "../../db/connection.ts"
import { type AccountId, chargeId, randomChars } from "../../src/ids.ts"
import type { Ledger } from "../../src/ledger/ledger.ts"
import { fen } from "../../src/money.ts"
import { chargeOf, detailsOf } from "../support/details.ts"

/** One call, as its client knows it. */
type Call = { requestId: string; startedAt: number; isAccepted: boolean }

export type Load = {
  /** Of an account, in the order in which they came. */
  calls(accountId: AccountId): readonly Call[]
  stop(): Promise<void>
}

/** Each account is charged one fen after the other, through each ledger in turn; no call is sent again. */
export function startLoad(ledgers: readonly Ledger[], accounts: readonly AccountId[]): Load {
  const calls = new Map<AccountId, Call[]>(accounts.map((id) => [id, []]))
  let isStopping = false
  const callers = accounts.map(async (accountId) => {
    for (let n = 0; !isStopping; n++) {
      const requestId = `req_${randomChars(12)}`
      const startedAt = performance.now()
      const item = chargeOf({ accountId, amountFen: fen(1), details: detailsOf({ requestId }) })
      const outcome = await ledgers[n % ledgers.length]?.charge(item)
      const isAccepted = outcome?.status === "accepted"
      calls.get(accountId)?.push({ requestId, startedAt, isAccepted })
      await Bun.sleep(isAccepted ? 1 : 20)
    }
  })
  return {
    calls: (accountId) => calls.get(accountId) ?? [],
    async stop() {
      isStopping = true
      await Promise.all(callers)
    },
  }
}

/** Whether a call that began since then was accepted. */
export function accepts(load: Load, accountId: AccountId, since = performance.now()): boolean {
  return load.calls(accountId).some(({ startedAt, isAccepted }) => isAccepted && startedAt >= since)
}

type Row = {
  kind: string
  seq: number
  at: Date
  sourceId: string | null
  requestId: string | null
}

export type Verdict = { accepted: number; lost: number; phantom: number }

/**
 * Compares each call with the record: `lost` were accepted and are not charged, `phantom` are charged and
 * were not accepted. What was given back counts as not charged. Once nothing moves any more.
 */
export async function judge(sql: Sql, load: Load, accountId: AccountId): Promise<Verdict> {
  const rows = await sql<Row[]>`
    select kind, seq::float8 as seq, at, source_id as "sourceId", request_id as "requestId"
    from change_records where account_id = ${accountId} and kind in ('charge', 'reversal')
  `
  const reversed = new Set(rows.flatMap((row) => (row.kind === "reversal" ? row.sourceId : [])))
  const charged = rows
    .filter(({ kind }) => kind === "charge")
    .filter(({ seq, at }) => !reversed.has(chargeId({ accountId, seq, at })))
    .map(({ requestId }) => requestId)
  const inRecord = new Set(charged)
  expect(inRecord.size).toBe(charged.length)
  const verdict = { accepted: 0, lost: 0, phantom: 0 }
  for (const { requestId, isAccepted } of load.calls(accountId)) {
    const isCharged = inRecord.has(requestId)
    if (isAccepted) verdict.accepted++
    if (isAccepted && !isCharged) verdict.lost++
    if (!isAccepted && isCharged) verdict.phantom++
  }
  return verdict
}
