import { readOpening } from "../db/queries/read-opening.ts"
import type { AccountId } from "../src/ids.ts"
import { oneNode } from "../src/ledger/cluster.ts"
import { accountKey } from "../src/ledger/keys.ts"
import { decodeAccount } from "../src/ledger/states.ts"
import { auditBooks } from "../src/reconcile/audit.ts"
import type { Account } from "./seed.ts"
import type { System } from "./system.ts"

/** All accounts of a run, and how many charges of each the generators saw accepted. */
export type Proof = {
  accounts: Account[]
  accepted: Map<AccountId, number>
}

export type Books = { accepted: number; records: number; fen: number; findings: string[] }

/** What `user.login` costs in every new installation. */
const PRICE_FEN = 1
/** A burst of batches leaves a minute of work behind it. */
const CATCH_UP_MS = 180_000
const FINDINGS_MAX = 20

type InPostgres = { calls: number; fen: number; balanceFen: number }

export function noteAccepted(
  { accepted }: Proof,
  charges: Iterable<readonly [AccountId, number]>,
): void {
  for (const [id, count] of charges) accepted.set(id, (accepted.get(id) ?? 0) + count)
}

/**
 * The proof of a run: for each account and in total, the charges that the generators saw accepted are
 * the charges in Postgres are the fen that are gone, in Redis and in Postgres. A charge that was
 * reversed because its caller got 503 counts as none.
 */
export async function checkBooks(
  system: System,
  { accounts, accepted: allAccepted }: Proof,
): Promise<Books> {
  const { findings: audited } = await auditBooks({
    sql: system.sql,
    redis: oneNode(system.redis),
    catchUpMs: CATCH_UP_MS,
  })
  const findings = [...audited]
  const inPostgres = await readPostgres(system)
  const inRedis = await readRedis(system, accounts)
  const totals = { accepted: 0, records: 0, fen: 0 }
  for (const { id, creditFen } of accounts) {
    const accepted = allAccepted.get(id) ?? 0
    const { calls, fen, balanceFen } = inPostgres.get(id) ?? { calls: 0, fen: 0, balanceFen: 0 }
    totals.accepted += accepted
    totals.records += calls
    totals.fen += fen
    const expectedFen = creditFen - accepted * PRICE_FEN
    const redisFen = inRedis.get(id)
    const isRight = calls === accepted && fen === accepted * PRICE_FEN
    if (isRight && balanceFen === expectedFen && redisFen === expectedFen) continue
    findings.push(
      `${id}: ${accepted} charges were accepted, ${calls} records of ${fen} fen are in Postgres; ` +
        `${expectedFen} fen should be left, Postgres has ${balanceFen} and Redis ${redisFen}`,
    )
  }
  return { ...totals, findings: findings.slice(0, FINDINGS_MAX) }
}

async function readPostgres({ sql }: System): Promise<Map<string, InPostgres>> {
  const rows = await sql<{ id: string; calls: string; fen: string; balance: string }[]>`
    select s.account_id as id, s.balance_fen as balance,
      count(*) filter (where r.kind in ('charge', 'capture'))
        - count(*) filter (where r.kind = 'reversal') as calls,
      coalesce(sum(r.amount_fen) filter (where r.kind in ('charge', 'capture')), 0)
        - coalesce(sum(r.amount_fen) filter (where r.kind = 'reversal'), 0) as fen
    from account_snapshots s left join change_records r on r.account_id = s.account_id
    group by s.account_id, s.balance_fen
  `
  return new Map(
    rows.map(({ id, calls, fen, balance }) => [
      id,
      { calls: Number(calls), fen: Number(fen), balanceFen: Number(balance) },
    ]),
  )
}

async function readRedis(
  { sql, redis }: System,
  accounts: readonly Account[],
): Promise<Map<AccountId, number>> {
  const generation = (await readOpening(sql)).generations[0] ?? 0
  const states = await redis.mgetBuffer(accounts.map(({ id }) => accountKey(0, generation, id)))
  const balances = new Map<AccountId, number>()
  for (const [i, { id }] of accounts.entries()) {
    const state = states[i]
    if (state) balances.set(id, decodeAccount(state).balanceFen)
  }
  return balances
}
