import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { sweep } from "../../src/flusher/sweep.ts"
import { type AccountId, newAccountId } from "../../src/ids.ts"
import { createLedger } from "../../src/ledger/ledger.ts"
import { APPLY_INSTRUCTIONS_MAX, SWEEP_AGE_MS } from "../../src/limits.ts"
import { eventually } from "../support/eventually.ts"
import { insertAccount, ready, startLedger, useLedger, withStores } from "../support/ledger.ts"
import { startRelay } from "../support/relay.ts"
import type { Stores } from "../support/stores.ts"

setDefaultTimeout(30_000)

/** Money in: committed in Postgres first, applied in Redis once, whoever applies it and how often. */
const ledger = useLedger({ partitions: 2 })

/** An instruction under a number of the test's own, and its cause. */
async function order(
  { sql }: Stores,
  accountId: AccountId,
  { number, amountFen }: { number: number; amountFen: number },
): Promise<void> {
  const id = `rdm_${accountId}_${number}`
  await sql`
    with code as (
      insert into redemption_codes (id, code, amount_fen) values (${id}, ${id}, ${amountFen}) returning id
    ), redeemed as (
      insert into redemptions (id, code_id, account_id, amount_fen)
      select id, id, ${accountId}::text, ${amountFen}::bigint from code
    )
    insert into instructions (account_id, number, kind, amount_fen, source_id)
    select ${accountId}::text, ${number}::integer, 'redemption', ${amountFen}::bigint, id from code
  `
}

describe("an instruction", () => {
  test("is applied once, from however many places at once", async () => {
    const { openAccount, instruct, ledger: left, stores } = ledger()
    const right = await createLedger({
      ...{ redisUrl: stores.redisUrl, sql: stores.sql, dataDir: stores.dataDir },
      onBatch: () => undefined,
      log: () => undefined,
    })
    await ready(right)
    const accountId = await openAccount({ balanceFen: 0 })
    const { sourceId } = await instruct(accountId, { kind: "redemption", amountFen: 500 })
    const places = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? left : right))
    const outcomes = await Promise.all(places.map((place) => place.applyPending(accountId)))
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: "applied",
        account: { balanceFen: 500, seq: 1, instruction: 2 },
      })
    }
    await right.stop()
    await ledger().books()
    expect(
      await stores.sql`select source_id from change_records where account_id = ${accountId}`,
    ).toMatchObject([{ source_id: sourceId }])
  })

  test("is applied again without harm while it is not flushed, and after it is", async () => {
    const { openAccount, instruct, ledger: gateway } = ledger()
    const accountId = await openAccount({ balanceFen: 0 })
    await instruct(accountId, { kind: "redemption", amountFen: 7 })
    for (let i = 0; i < 5; i++) {
      expect(await gateway.applyPending(accountId)).toMatchObject({
        account: { balanceFen: 7, seq: 1 },
      })
    }
    await ledger().books()
    expect(await gateway.applyPending(accountId)).toMatchObject({
      account: { balanceFen: 7, seq: 1 },
    })
  })

  test("waits for the one before it", async () => {
    const { openAccount, ledger: gateway, stores } = ledger()
    const accountId = await openAccount({ balanceFen: 5 })
    await order(stores, accountId, { number: 4, amountFen: 100 })
    expect(await gateway.applyPending(accountId)).toEqual({ status: "unavailable" })
    expect(await gateway.readAccount(accountId)).toMatchObject({
      account: { balanceFen: 5, instruction: 2 },
    })
    await order(stores, accountId, { number: 3, amountFen: 10 })
    expect(await gateway.applyPending(accountId)).toMatchObject({
      account: { balanceFen: 115, instruction: 4 },
    })
  })

  test("of more than one page is applied to the last", async () => {
    const { openAccount, stores, ledger: gateway } = ledger()
    for (const count of [
      APPLY_INSTRUCTIONS_MAX - 1,
      APPLY_INSTRUCTIONS_MAX,
      2 * APPLY_INSTRUCTIONS_MAX + 1,
    ]) {
      const accountId = await openAccount({ balanceFen: 0 })
      for (let n = 1; n <= count; n++) {
        await order(stores, accountId, { number: n + 1, amountFen: n })
      }
      expect(await gateway.applyPending(accountId)).toMatchObject({
        ...{
          status: "applied",
          account: { balanceFen: (count * (count + 1)) / 2, instruction: count + 1, seq: count },
        },
      })
    }
  })

  test("keeps its account's order while charges and other instructions race it", async () => {
    const { openAccount, instruct, pay, ledger: gateway, stores } = ledger()
    const accountId = await openAccount({ balanceFen: 0 })
    await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        await instruct(accountId, { kind: "redemption", amountFen: i + 1 })
        await gateway.applyPending(accountId)
        await pay(accountId, 1)
      }),
    )
    await ledger().books()
    const rows = await stores.sql<{ number: number; source: string }[]>`
      select i.number, i.source_id as source from change_records r
      join instructions i on i.account_id = r.account_id and i.source_id = r.source_id
      where r.account_id = ${accountId} and r.kind = 'redemption' order by r.seq
    `
    expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 60 }, (_, i) => i + 2))
  })

  test("that raises the auth version kills what was verified under the old one, in that moment", async () => {
    const { openAccount, instruct, pay, ledger: gateway } = ledger()
    const accountId = await openAccount({ balanceFen: 5 })
    expect(await pay(accountId, 1, { authVersion: 2 })).toEqual({
      status: "auth_changed",
      authVersion: 1,
      rate: null,
    })
    await instruct(accountId, { kind: "auth_version", authVersion: 2 })
    expect(await pay(accountId, 1, { authVersion: 1 })).toMatchObject({ status: "accepted" })
    await gateway.applyPending(accountId)
    expect(await pay(accountId, 1, { authVersion: 1 })).toEqual({
      status: "auth_changed",
      authVersion: 2,
      rate: null,
    })
    expect(await pay(accountId, 1, { authVersion: 2 })).toMatchObject({
      status: "accepted",
      balanceFen: 3,
    })
  })
})

describe("the sweep", () => {
  test("applies what a crashed request left, in order, and leaves alone what is fresh", async () => {
    const { openAccount, instruct, ledger: gateway, stores } = ledger()
    const ageMs = 3 * SWEEP_AGE_MS
    const [left, fresh] = [
      await openAccount({ balanceFen: 1 }),
      await openAccount({ balanceFen: 1 }),
    ]
    await instruct(left, { kind: "redemption", amountFen: 10, ageMs })
    await instruct(left, { kind: "auth_version", authVersion: 5, ageMs })
    await instruct(left, { kind: "redemption", amountFen: 100, ageMs })
    const unopened = newAccountId()
    await insertAccount(stores, unopened)
    await stores.sql`update instructions set created_at = now() - interval '1 minute' where account_id = ${unopened}`
    await instruct(fresh, { kind: "redemption", amountFen: 10 })
    const swept: string[] = []
    await sweep(stores.sql, (accountId) => {
      swept.push(accountId)
      return gateway.applyPending(accountId)
    })
    expect(swept).not.toContain(fresh)
    await eventually(async () => {
      expect(await gateway.readAccount(left)).toMatchObject({
        ...{ account: { balanceFen: 111, authVersion: 5, instruction: 5 } },
      })
      expect(await gateway.readAccount(unopened)).toMatchObject({
        account: { balanceFen: 0, instruction: 1 },
      })
    })
    await gateway.applyPending(fresh)
  })

  test("runs by itself in the background process", async () => {
    const { openAccount, instruct, ledger: gateway } = ledger()
    const accountId = await openAccount({ balanceFen: 1 })
    await instruct(accountId, { kind: "redemption", amountFen: 10, ageMs: 2 * SWEEP_AGE_MS })
    await eventually(async () =>
      expect(await gateway.readAccount(accountId)).toMatchObject({ account: { balanceFen: 11 } }),
    )
  })
})

test("a credit whose answer is lost is repeated until it is known, and credited once", async () => {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const t = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
    const accountId = await t.openAccount({ balanceFen: 0 })
    await t.instruct(accountId, { kind: "redemption", amountFen: 9 })
    const isCut = relay.cutBeforeReplyTo(accountId.slice(5))
    expect(await t.ledger.applyPending(accountId)).toMatchObject({
      account: { balanceFen: 9, seq: 1 },
    })
    await isCut
    await t.books()
    await t.stop()
    await relay.stop()
  })
})

test("a credit that is committed while Redis is away is answered as such, and arrives by itself", async () => {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const t = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
    const accountId = await t.openAccount({ balanceFen: 0 })
    relay.refuse()
    await t.instruct(accountId, { kind: "redemption", amountFen: 9, ageMs: SWEEP_AGE_MS })
    expect(await t.ledger.applyPending(accountId)).toEqual({ status: "unavailable" })
    relay.accept()
    await eventually(async () =>
      expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 9 } }),
    )
    await t.books()
    await t.stop()
    await relay.stop()
  })
})
