import { expect, setDefaultTimeout, test } from "bun:test"
import { giveInRedis } from "../reconcile/tampering.ts"
import { chargeMany } from "../support/flushing.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"
import { ops } from "./ops.ts"

setDefaultTimeout(60_000)

const runsOf = async ({ stores }: TestLedger) => [
  ...(await stores.sql<{ id: string; driftFen: number; findings: string[] }[]>`
    select id, drift_fen::float8 as "driftFen", to_json(findings) as findings
    from reconciliation_runs where finished_at is not null order by asked_at
  `),
]

test("books that balance exit with 0, the run is stored, and what was proven moves on", async () => {
  await withLedger({ flusher: false, partitions: 2 }, async (t) => {
    const accounts = [
      await t.openAccount({ balanceFen: 100, partition: 0 }),
      await t.openAccount({ balanceFen: 1_000, partition: 1 }),
    ]
    const flusher = await t.startFlusher()
    for (const accountId of accounts) await chargeMany(t, accountId, 10)
    await t.books()
    await flusher.stop()
    await t.stores.sql`delete from reconciliation`
    const { code, out } = await ops(t.stores, "reconcile", "--strict", "--json")
    const result = JSON.parse(out)
    expect(code).toBe(0)
    expect(result).toMatchObject({
      ...{ accounts: 2, records: 22, creditsFen: 1_100, debitsFen: 20, balancesFen: 1_080 },
      ...{ driftFen: 0, findings: [] },
      drift: {
        recordsFen: 0,
        redisFen: 0,
        heldFen: 0,
        countersFen: 0,
        snapshotsFen: 0,
        trialFen: 0,
      },
    })
    expect(await runsOf(t)).toEqual([{ id: result.id, driftFen: 0, findings: [] }])
    const proven = await t.stores.sql`
      select partition, reconciled_position::float8 as position, reconciled_through is not null as through
      from reporting.reconciliation order by partition
    `
    expect([...proven]).toEqual([
      { partition: 0, position: 11, through: true },
      { partition: 1, position: 11, through: true },
    ])
    expect((await ops(t.stores, "reconcile")).out).toMatch(
      /^2 accounts, 22 records, in \d+\.\d s\ncredits 11.00 - debits 0.20 = balances 10.80 CNY\npartition 0: 11 records, the last of 20.*Z\n.*\ndrift: 0 fen; findings: 0; stored as rec_\w+\n$/,
    )
  })
})

test("one fen of drift exits with 1, with and without --strict, and nothing is proven by it", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    const flusher = await t.startFlusher()
    await t.books()
    await flusher.stop()
    await t.stores.sql`delete from reconciliation`
    const restore = await giveInRedis(t, accountId, 1)
    for (const words of [["reconcile"], ["reconcile", "--strict"]]) {
      const { code, out, err } = await ops(t.stores, ...words)
      expect(code).toBe(1)
      expect(out).toContain(`FOUND ${accountId}: Redis has 101 fen at record 1`)
      expect(out).toContain("drift: 1 fen; findings: 1;")
      if (words.length === 1) expect(err).toStartWith(`ALARM ${accountId}: drift of 1 fen: `)
    }
    expect((await t.stores.sql`select 1 from reconciliation`).length).toBe(0)
    await restore()
    expect((await ops(t.stores, "reconcile")).code).toBe(0)
    await t.stores.sql`delete from drifts`
  })
})

test("a finding without drift exits with 1 under --strict alone", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    const flusher = await t.startFlusher()
    await chargeMany(t, accountId, 2)
    await t.books()
    await flusher.stop()
    await t.stores.sql`update usage_hourly set calls = calls + 1`
    const loose = await ops(t.stores, "reconcile")
    expect([loose.code, loose.out.match(/^FOUND .*$/gm)]).toEqual([
      0,
      [
        expect.stringMatching(
          /usage of key_test user\.login .* is 3 calls, 2 fen; its charges are 2/,
        ),
      ],
    ])
    expect((await ops(t.stores, "reconcile", "--strict")).code).toBe(1)
    await t.stores.sql`update usage_hourly set calls = calls - 1`
  })
})

test("a run that fails says why, and where it is stored as well", async () => {
  await withLedger({}, async (t) => {
    await t.openAccount({ balanceFen: 100 })
    await t.books()
    await t.stores.sql`alter table usage_hourly rename to usage_gone`
    const { code, err } = await ops(t.stores, "reconcile")
    await t.stores.sql`alter table usage_gone rename to usage_hourly`
    expect(code).toBe(1)
    expect(err).toContain('relation "usage_hourly" does not exist')
    const [run] = await t.stores
      .sql`select failure from reconciliation_runs where failure is not null`
    expect(run?.failure).toContain('relation "usage_hourly" does not exist')
  })
})
