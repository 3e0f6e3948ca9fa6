import { expect, test } from "bun:test"
import { connectSql } from "../db/connection.ts"
import { newDeveloper } from "./support/developer.ts"
import { eventually } from "./support/eventually.ts"
import { useSystem } from "./support/system.ts"

const system = useSystem()

/** The contract's columns: they may grow in number, and never change their names. */
const VIEWS: Record<string, string> = {
  change_records:
    "account_id seq type kind amount_fen balance_before_fen balance_after_fen description at interface quantity key_id charge_id source_id request_id partition position",
  accounts: "account_id status balance_fen reward_fen earnings_fen last_seq created_at",
  recharge_orders: "order_id account_id method amount_fen refunded_fen status created_at paid_at",
  redemptions: "redemption_id account_id code amount_fen at",
  referrals: "referrer_account_id invitee_account_id status at",
  rebates:
    "rebate_id referrer_account_id invitee_account_id order_id track base_fen rate_bps amount_fen status at",
  reward_transfers: "transfer_id account_id amount_fen at",
  payouts: "payout_id account_id amount_fen currency status at",
  usage_hourly: "account_id key_id interface hour calls refused failed amount_fen",
  trial_balance: "kind credit_fen debit_fen",
  reconciliation: "partition reconciled_position reconciled_through drift_fen checked_at",
  erasures: "account_id erased_at",
}

test("every view of the contract has its columns, money as bigint and times with a zone", async () => {
  const columns = await system().sql<{ view: string; name: string; type: string }[]>`
    select table_name as view, column_name as name, data_type as type
    from information_schema.columns where table_schema = 'reporting'
    order by table_name, ordinal_position
  `
  for (const [view, names] of Object.entries(VIEWS)) {
    const found = columns.filter((column) => column.view === view)
    expect([view, ...found.map(({ name }) => name)]).toEqual([view, ...names.split(" ")])
  }
  const wrong = columns.filter(
    ({ name, type }) =>
      (name.endsWith("_fen") && type !== "bigint") ||
      (/^(at|hour|.*_at)$/.test(name) && type !== "timestamp with time zone"),
  )
  expect(wrong).toEqual([])
})

test("a login of fengate_reader reads the views, and neither the tables nor anything else", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 10 })
  expect((await developer.charge()).status).toBe(200)
  await system().sql`drop role if exists reports`
  await system().sql`create role reports login password 'for tests' in role fengate_reader`
  const url = new URL(system().stores.databaseUrl)
  url.username = "reports"
  url.password = "for tests"
  const reader = connectSql(url.href, { max: 1, applicationName: "test reader" })

  await eventually(async () => {
    const rows = await reader`
      select seq, kind from reporting.change_records
      where account_id = ${developer.accountId} order by seq
    `
    expect([...rows].map(({ kind }) => kind)).toEqual(["redemption", "charge"])
  })
  for (const view of Object.keys(VIEWS)) await reader.unsafe(`select * from reporting.${view}`)
  const forbidden = [
    "select * from public.accounts",
    "select * from public.api_keys",
    "delete from public.change_records",
    "delete from reporting.usage_hourly",
    "create table public.mine ()",
  ]
  for (const statement of forbidden) {
    const refusal = await reader.unsafe(statement).then(
      () => "allowed",
      (error: { code: string }) => error.code,
    )
    // Not permitted; or, of a view that joins, not possible for anybody.
    expect([statement, refusal]).toEqual([statement, expect.stringMatching(/^(42501|55000)$/)])
  }
  await reader.end()
})

test("the trial balance is zero, and records become final behind the watermark", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 500 })
  for (let call = 0; call < 5; call++) await developer.charge()

  await eventually(async () => {
    const [final] = await system().sql`
      select r.reconciled_position, p.records, r.drift_fen
      from reporting.reconciliation r join partitions p using (partition)
    `
    expect(final).toMatchObject({ reconciled_position: final?.records, drift_fen: "0" })
  })
  const [books] = await system().sql`
    select sum(credit_fen) - sum(debit_fen) as difference from reporting.trial_balance
  `
  expect(books).toEqual({ difference: "0" })
})
