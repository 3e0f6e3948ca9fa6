import { expect, test } from "bun:test"
import { auditReversals } from "../../db/queries/audit-reversals.ts"
import type { AccountId } from "../../src/ids.ts"
import { createLedger, type Ledger } from "../../src/ledger/ledger.ts"
import { eventually } from "../support/eventually.ts"
import { startLedger, type TestLedger, withLedger, withStores } from "../support/ledger.ts"
import { type Relay, startRelay } from "../support/relay.ts"
import { chargeOnce, withReversals } from "./reversals.ts"

type Lost = {
  t: TestLedger
  /** Another gateway, which meets Redis past the relay. */
  other: Ledger
  relay: Relay
  accountId: AccountId
  /** Of the charge whose caller was told 503, and whose revoke does not get through yet. */
  chargeId: string
}

const ALL = { after: "", through: "~" }

/** A charge of 0.30 out of 1.00 CNY that happened, while its gateway cannot hear of it. */
async function withLostCharge(run: (lost: Lost) => Promise<void>): Promise<void> {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const t = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
    const { redisUrl, sql, dataDir } = stores
    const deps = { redisUrl, sql, dataDir, onBatch: () => undefined, log: () => undefined }
    const other = await createLedger(deps)
    const accountId = await t.openAccount({ balanceFen: 100 })
    const refused = relay.cutBeforeReplyTo(accountId.slice(5)).then(() => relay.refuse())
    expect(await t.charge(accountId, 30)).toEqual({ status: "unavailable" })
    await refused
    const [charge] = await eventually(async () => {
      const rows = await sql<{ id: string }[]>`
        select charge_id as id from reporting.change_records where kind = 'charge'`
      expect(rows).toHaveLength(1)
      return rows
    })
    await run({ t, other, relay, accountId, chargeId: charge?.id ?? "" })
    await t.books()
    await other.stop()
    await t.stop()
    await relay.stop()
  })
}

/** The gateway hears of Redis again, revokes what it had to, and takes a charge. */
async function settle({ t, relay, accountId }: Lost): Promise<void> {
  relay.accept()
  expect(await t.pay(accountId, 1)).toMatchObject({ status: "accepted" })
}

async function expectOneReversal({ t, accountId }: Lost): Promise<void> {
  await eventually(async () => {
    const rows = await t.stores.sql<{ kind: string; amount: number }[]>`
      select kind, amount_fen::integer as amount from change_records
      where account_id = ${accountId} order by seq`
    expect(rows.map(({ kind, amount }) => `${kind} ${amount}`).toSorted()).toEqual([
      "charge 1",
      "charge 30",
      "redemption 100",
      "reversal 30",
    ])
  })
  expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 99 } })
}

test("409: a charge that a revoke has put back is not given back again", async () => {
  await withLostCharge(async (lost) => {
    await settle(lost)
    await expectOneReversal(lost)
    await withReversals(lost.t, async (reverse) => {
      expect(await reverse(lost.chargeId)).toEqual({ status: "already_reversed" })
    })
    expect(await lost.t.stores.sql`select from reversals`).toHaveLength(0)
  })
})

test("a revoke that comes late puts back nothing that was given back before", async () => {
  await withLostCharge(async (lost) => {
    const { t, other: ledger, chargeId } = lost
    await withReversals({ ledger, stores: t.stores }, async (reverse) => {
      expect(await reverse(chargeId)).toMatchObject({ status: "reversed" })
    })
    await settle(lost)
    await expectOneReversal(lost)
  })
})

test("a reversal that is recorded before the revoke, and applied after it, adds nothing", async () => {
  await withLostCharge(async (lost) => {
    const { t, other, chargeId } = lost
    const ledger = {
      readAccount: other.readAccount,
      applyPending: () => Promise.resolve({ status: "unavailable" as const }),
    }
    await withReversals({ ledger, stores: t.stores }, async (reverse) => {
      expect(await reverse(chargeId)).toEqual({ status: "recorded" })
    })
    await settle(lost)
    expect(await other.applyPending(lost.accountId)).toMatchObject({ status: "applied" })
    await expectOneReversal(lost)
    await withReversals({ ledger: other, stores: t.stores }, async (reverse) => {
      expect(await reverse(chargeId)).toEqual({ status: "already_reversed" })
    })
  })
})

test("the audit finds a reversal without its instruction, and a charge that was reversed twice", async () => {
  await withLedger({}, async (t) => {
    const { accountId, chargeId } = await chargeOnce(t)
    const { sql } = t.stores
    await withReversals(t, async (reverse) => {
      expect(await reverse(chargeId)).toMatchObject({ status: "reversed" })
    })
    expect(await auditReversals(sql, ALL)).toEqual([])
    await sql`update reversals set amount_fen = 29`
    expect(await auditReversals(sql, ALL)).toMatchObject([
      { chargeId, reversals: 1, instructions: 0 },
    ])
    await sql`update reversals set amount_fen = 30`
    await sql`insert into change_records (account_id, seq, type, kind, amount_fen,
        balance_before_fen, balance_after_fen, description, at, source_id, partition, position)
      select account_id, 4, 1, 'reversal', 30, 100, 130, '', at, source_id, 0, 99
      from change_records where account_id = ${accountId} and kind = 'reversal'`
    expect(await auditReversals(sql, ALL)).toMatchObject([{ chargeId, reversals: 1, records: 2 }])
    await sql`delete from change_records where position = 99`
  })
})
