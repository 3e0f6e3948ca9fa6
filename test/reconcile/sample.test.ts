import { expect, setDefaultTimeout, test } from "bun:test"
import { newAccountId } from "../../src/ids.ts"
import { SAMPLE_ACCOUNTS } from "../../src/limits.ts"
import { createSampler } from "../../src/reconcile/sample.ts"
import { eventually } from "../support/eventually.ts"
import { alarmsOf, chargeMany } from "../support/flushing.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"
import { giveInRedis } from "./tampering.ts"

setDefaultTimeout(60_000)

/** A balance that is changed behind our back, in Redis or in Postgres, is found within a bounded time. */

const driftsOf = async ({ stores }: TestLedger) => [
  ...(await stores.sql<{ accountId: string; driftFen: number }[]>`
    select account_id as "accountId", drift_fen::float8 as "driftFen" from drifts order by 1
  `),
]

async function driftOf({ stores }: TestLedger): Promise<number> {
  const [row] = await stores.sql<{ fen: number }[]>`
    select sum(drift_fen)::float8 as fen from reporting.reconciliation
  `
  return row?.fen ?? Number.NaN
}

test("a balance that is changed in Redis is an alarm with its account, a drift, and gone when it is put right", async () => {
  await withLedger({ partitions: 2 }, async (t) => {
    const accounts = await Promise.all(
      [100, 200, 300].map((balanceFen) => t.openAccount({ balanceFen })),
    )
    await t.books()
    const [accountId = newAccountId()] = accounts
    const restore = await giveInRedis(t, accountId, 5)
    await eventually(async () => expect(await driftOf(t)).toBe(5))
    expect(await driftsOf(t)).toEqual([{ accountId, driftFen: 5 }])
    expect(alarmsOf(t)).toEqual([
      `ALARM ${accountId}: drift of 5 fen: Redis has 105 fen at record 1, instruction 2, auth version 1, open, its records make 100 fen at record 1, instruction 2, auth version 1, open`,
    ])
    await restore()
    await eventually(async () => expect(await driftsOf(t)).toEqual([]))
    await eventually(async () => expect(await driftOf(t)).toBe(0))
    expect(t.log).toContain(`${accountId} agrees again`)
  })
})

test("an UPDATE in Postgres that keeps the books in balance is found by what Redis has", async () => {
  await withLedger({}, async (t) => {
    const left = await t.openAccount({ balanceFen: 100 })
    const right = await t.openAccount({ balanceFen: 100 })
    await t.books()
    const move = (amount: number) => t.stores.sql`
      update account_snapshots
      set balance_fen = balance_fen + case account_id when ${left} then ${amount}::bigint else ${-amount}::bigint end
    `
    await move(30)
    await eventually(async () => expect(await driftOf(t)).toBe(60))
    expect(await driftsOf(t)).toEqual(
      [left, right].toSorted().map((accountId) => ({ accountId, driftFen: 30 })),
    )
    await move(-30)
    await eventually(async () => expect(await driftOf(t)).toBe(0))
  })
})

test("an account that is gone from Redis drifts by all that it had", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    const flusher = await t.startFlusher()
    await t.books()
    await flusher.stop()
    const [key = ""] = await t.redis.keys(`*a:${accountId.slice("acct_".length)}`)
    const state = await t.redis.getBuffer(key)
    await t.redis.del(key)
    const log: string[] = []
    const sampler = createSampler({
      sql: t.stores.sql,
      redis: t.nodes,
      log: (line) => void log.push(line),
    })
    await sampler.look()
    await sampler.look()
    expect(log).toEqual([
      `ALARM ${accountId}: drift of 100 fen: Redis has nothing of it that can be read`,
    ])
    await t.redis.set(key, state ?? "")
    await sampler.look()
    expect(await driftsOf(t)).toEqual([])
  })
})

test("accounts that are being charged drift by nothing, however far Postgres is behind", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const accounts = await Promise.all(
      Array.from({ length: 5 }, () => t.openAccount({ balanceFen: 10_000 })),
    )
    const flusher = await t.startFlusher()
    await t.books()
    await flusher.stop()
    const log: string[] = []
    const sampler = createSampler({
      sql: t.stores.sql,
      redis: t.nodes,
      log: (line) => void log.push(line),
    })
    for (let round = 0; round < 30; round++) {
      await Promise.all(accounts.map((accountId) => chargeMany(t, accountId, 3)))
      await sampler.look()
    }
    expect(log).toEqual([])
    const again = await t.startFlusher()
    await t.books()
    await again.stop()
  })
})

test("every account has its turn after accounts / SAMPLE_ACCOUNTS looks, and then again", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const count = 2 * SAMPLE_ACCOUNTS + 10
    const ids = Array.from({ length: count }, () => newAccountId())
    const flusher = await t.startFlusher()
    await t.openAccount({ balanceFen: 1 })
    await t.books()
    await flusher.stop()
    await t.stores.sql`
      insert into account_snapshots (account_id, partition, balance_fen, last_seq, instruction_number, auth_version, status)
      select id, 0, 0, 0, 1, 1, 'open' from unnest(${`{${ids.join(",")}}`}::text::text[]) id
    `
    const sampler = createSampler({ sql: t.stores.sql, redis: t.nodes, log: () => undefined })
    const found = async () => (await driftsOf(t)).length
    const seen: number[] = []
    for (let look = 0; look < 3; look++) {
      await sampler.look()
      seen.push(await found())
    }
    expect(seen[0]).toBeLessThanOrEqual(SAMPLE_ACCOUNTS)
    expect(seen.at(-1)).toBe(count)
    await t.stores.sql`delete from account_snapshots where last_seq = 0`
    await t.stores.sql`delete from drifts`
    await sampler.look()
    expect(await found()).toBe(0)
  })
})
