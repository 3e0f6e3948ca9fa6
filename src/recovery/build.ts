import { type AccountRow, listAccountStates } from "../../db/queries/list-account-states.ts"
import { listReversed } from "../../db/queries/list-reversed.ts"
import { listStoredResults, type StoredResult } from "../../db/queries/list-stored-results.ts"
import { sumSnapshots } from "../../db/queries/sum-snapshots.ts"
import { parseAccountId, parseChargeId } from "../ids.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { accountKey, builtKey, keyPrefix, reversedKey } from "../ledger/keys.ts"
import { chargeDetails } from "../ledger/records.ts"
import { encodeResult } from "../ledger/results.ts"
import {
  type AccountState,
  decodeAccount,
  encodeAccount,
  parseAccountStatus,
} from "../ledger/states.ts"
import { IDEMPOTENCY_TTL_MS, REBUILD_PAGE } from "../limits.ts"
import { fen, parseFen } from "../money.ts"
import type { Log, Stores } from "./stores.ts"

type Place = { partition: number; generation: number }

/** `pages`: how many were written, which Redis has counted too. */
export type Built = { accounts: number; results: number; pages: number }

/** Counts a page once it is written. Rejects where Redis has lost one that was written before. */
type CountPage = () => Promise<void>

/**
 * Builds the keys of a generation from Postgres: every account, and what is kept of requests with an
 * Idempotency-Key. Budgets are seeded when they are asked for, holds do not outlive a generation. At the
 * end it reads back what it wrote, and rejects where the sums are not Postgres's; or as soon as Redis has
 * gone back meanwhile. All names carry the generation, so that whoever else builds disturbs nobody.
 */
export async function buildGeneration(stores: Stores, place: Place, log: Log): Promise<Built> {
  const { redis, sql } = stores
  const { partition, generation } = place
  const expected = await sumSnapshots(sql, partition)
  const progress = createProgress(partition, expected.accounts, log)
  let pages = 0
  const countPage = async () => {
    pages++
    const counted = await redis.of(partition).incr(builtKey(partition, generation))
    if (counted === pages) return
    throw new Error(
      `Redis went back while generation ${generation} of partition ${partition} was built`,
    )
  }
  let [accounts, balancesFen, after] = [0, 0n, ""]
  for (;;) {
    const page = await listAccountStates(sql, { partition, after, limit: REBUILD_PAGE })
    const last = page.at(-1)
    if (last === undefined) break
    balancesFen += await writeAccounts(redis, place, page)
    await countPage()
    accounts += page.length
    after = last.accountId
    progress(accounts)
  }
  if (accounts !== expected.accounts || String(balancesFen) !== expected.balancesFen) {
    throw new Error(
      `broken invariant: partition ${partition} was built with ${accounts} accounts of ${balancesFen} fen, and Postgres has ${expected.accounts} of ${expected.balancesFen}`,
    )
  }
  if (await writeReversed(stores, place)) await countPage()
  const results = await writeResults(stores, place, countPage)
  if (accounts > 0) {
    log(
      `partition ${partition}: generation ${generation}: ${accounts} accounts, ${results} results`,
    )
  }
  return { accounts, results, pages }
}

/** Answers what the accounts of the page hold together, as Redis has it now. */
async function writeAccounts(
  redis: RedisNodes,
  { partition, generation }: Place,
  page: readonly AccountRow[],
): Promise<bigint> {
  const keys = page.map(({ accountId }) =>
    accountKey(partition, generation, parseAccountId(accountId)),
  )
  const writes = page.flatMap((row, i) => [keys[i] ?? "", encodeAccount(stateOf(row))])
  await redis.of(partition).mset(...writes)
  const written = await redis.of(partition).mgetBuffer(...keys)
  return written.reduce(
    (sum, state) => sum + BigInt(state === null ? 0 : decodeAccount(state).balanceFen),
    0n,
  )
}

function stateOf(row: AccountRow): AccountState {
  const { instruction, authVersion } = row
  return {
    balanceFen: parseFen(row.balanceFen),
    heldFen: fen(0),
    seq: Number(row.lastSeq),
    instruction,
    authVersion,
    status: parseAccountStatus(row.status),
  }
}

async function writeReversed(
  { redis, sql }: Stores,
  { partition, generation }: Place,
): Promise<boolean> {
  const marks = (await listReversed(sql, partition)).flatMap((id) => {
    const charge = parseChargeId(id)
    return charge === null ? [] : [`${charge.accountId.slice("acct_".length)}${charge.seq}`, "1"]
  })
  if (marks.length > 0) await redis.of(partition).hset(reversedKey(partition, generation), ...marks)
  return marks.length > 0
}

async function writeResults(
  { redis, sql }: Stores,
  { partition, generation }: Place,
  countPage: CountPage,
): Promise<number> {
  const prefix = `${keyPrefix(partition, generation)}r:`
  let results = 0
  let after = { atMs: 0, accountId: "", seq: "0" }
  for (;;) {
    const page = await listStoredResults(sql, {
      ...{ partition, after },
      ...{ ttlMs: IDEMPOTENCY_TTL_MS, limit: REBUILD_PAGE },
    })
    const last = page.at(-1)
    if (last === undefined) return results
    const pipeline = redis.of(partition).pipeline()
    for (const row of page) {
      const endsAtMs = Math.floor(row.atMs + IDEMPOTENCY_TTL_MS)
      pipeline.set(`${prefix}${row.digest}`, encodeStored(row), "PXAT", endsAtMs)
    }
    for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error
    await countPage()
    results += page.length
    after = { atMs: last.atMs, accountId: last.accountId, seq: last.seq }
  }
}

function encodeStored(row: StoredResult): Buffer {
  const { description, interface: interfaceId, keyId, quantity, requestId } = row
  const details = chargeDetails({
    keyId: keyId ?? "",
    interface: interfaceId ?? "",
    quantity: quantity ?? 1,
    requestId: requestId ?? "",
    description: description === `API call ${interfaceId}` ? "" : description,
  })
  return encodeResult({
    fingerprint: Buffer.from(row.fingerprint, "base64"),
    balanceFen: parseFen(row.balanceFen),
    heldFen: parseFen(row.heldFen),
    seq: Number(row.seq),
    amountFen: parseFen(row.amountFen),
    atMs: Math.floor(row.atMs),
    isTold: row.told,
    // Of a capture, the answer names what its hold was for.
    tail: row.kind === "capture" ? details : "",
  })
}

/** Tells how far it is, each tenth of a long way. */
function createProgress(partition: number, total: number, log: Log): (done: number) => void {
  let told = 0
  return (done) => {
    const tenths = Math.floor((10 * done) / total)
    if (total <= 10 * REBUILD_PAGE || tenths === told) return
    told = tenths
    log(`partition ${partition}: ${tenths}0 % of ${total} accounts are rebuilt`)
  }
}
