import type { Sql } from "../../db/connection.ts"
import { listUnknownAccounts } from "../../db/queries/list-unknown-accounts.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { parseAccountId } from "../ids.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { accountKey, keyPrefix } from "../ledger/keys.ts"
import { readMeta } from "../ledger/meta.ts"
import { decodeAccount } from "../ledger/states.ts"
import { RECONCILE_ACCOUNTS_PAGE } from "../limits.ts"

/** An account that Redis has, and the record never heard of. */
export type Stranger = { accountId: string; driftFen: number }

type Stores = { sql: Sql; redis: RedisNodes }
type Place = { partition: number; generation: number }

const STRANGERS_MAX = 1_000
/** How long the opening of an account may be on its way to Postgres. */
const FLUSH_WAIT_MS = 10_000
const POLL_MS = 50

/** Walks through the names in Redis. An account that was opened just now is waited for. */
export async function findStrangers({ sql, redis }: Stores): Promise<Stranger[]> {
  const strangers: Stranger[] = []
  for (const [partition, generation] of (await readOpening(sql)).generations.entries()) {
    const place = { partition, generation }
    const unknown = await listUnknown({ sql, redis }, place)
    if (unknown.length === 0) continue
    await awaitFlush({ sql, redis }, place)
    const still = await listUnknownAccounts(sql, `{${unknown.join(",")}}`)
    for (const accountId of still) {
      const state = await redis
        .of(partition)
        .getBuffer(accountKey(partition, generation, parseAccountId(accountId)))
      if (state !== null) strangers.push({ accountId, driftFen: decodeAccount(state).balanceFen })
    }
  }
  return strangers
}

async function listUnknown({ sql, redis }: Stores, place: Place): Promise<string[]> {
  const prefix = `${keyPrefix(place.partition, place.generation)}a:`
  const unknown: string[] = []
  let cursor = "0"
  do {
    const [next, names] = await redis
      .of(place.partition)
      .scan(...([cursor, "MATCH", `${prefix}*`, "COUNT", RECONCILE_ACCOUNTS_PAGE] as const))
    cursor = next
    if (names.length === 0) continue
    const ids = names.map((name) => `acct_${name.slice(prefix.length)}`)
    unknown.push(...(await listUnknownAccounts(sql, `{${ids.join(",")}}`)))
  } while (cursor !== "0" && unknown.length < STRANGERS_MAX)
  return unknown
}

/** Until Postgres has what Redis had written when it was called, or for a while. */
async function awaitFlush({ sql, redis }: Stores, { partition, generation }: Place): Promise<void> {
  const written = (await readMeta(redis, partition))?.entryNumber ?? 0
  const deadlineAt = performance.now() + FLUSH_WAIT_MS
  while (performance.now() < deadlineAt) {
    const place = (await readWatermarks(sql)).find((row) => row.partition === partition)
    if (place === undefined || place.generation !== generation) return
    if (place.entryNumber >= written) return
    await Bun.sleep(POLL_MS)
  }
}
