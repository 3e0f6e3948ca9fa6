import { expect, setDefaultTimeout, test } from "bun:test"
import { readOpening } from "../../db/queries/read-opening.ts"
import type { AccountId } from "../../src/ids.ts"
import { partitionOf } from "../../src/ids.ts"
import { fen } from "../../src/money.ts"
import { repartitionLedger } from "../../src/ops/rebuilding.ts"
import { withStores as withConnections, withOneConnection } from "../../src/ops/stores.ts"
import { chargeOf } from "../support/details.ts"
import { alarmsOf, chargeMany } from "../support/flushing.ts"
import { startLedger, type TestLedger, withLedger, withStores } from "../support/ledger.ts"
import type { Stores } from "../support/stores.ts"
import { ops } from "./ops.ts"

setDefaultTimeout(120_000)

test("Redis is built anew while calls are charged: nothing is lost, and nothing charged twice", async () => {
  await withLedger({ partitions: 2 }, async (t) => {
    const accounts = await Promise.all(
      Array.from({ length: 6 }, () => t.openAccount({ balanceFen: 10_000 })),
    )
    let isStopping = false
    const paid = await Promise.all([
      ...accounts.map(async (accountId) => {
        let count = 0
        for (; !isStopping; count++) await chargeMany(t, accountId, 1)
        return count
      }),
      (async () => {
        for (let round = 0; round < 3; round++) {
          const { code, out, err } = await ops(t.stores, "rebuild")
          expect([code, out]).toEqual([
            0,
            expect.stringMatching(/^2 partitions are built anew, in /),
          ])
          expect(err).toContain("2 of 2 partitions are built anew\n")
        }
        isStopping = true
        return 0
      })(),
    ])
    await t.books()
    const rows = await t.stores.sql<{ accountId: AccountId; paid: number }[]>`
      select account_id as "accountId", (10000 - balance_fen)::float8 as paid from account_snapshots
    `
    const spent = new Map(rows.map((row) => [row.accountId, row.paid]))
    expect(accounts.map((accountId) => spent.get(accountId))).toEqual(paid.slice(0, -1))
    expect((await readOpening(t.stores.sql)).generations).toEqual([4, 4])
    expect(alarmsOf(t).filter((line) => line.includes("anew"))).toEqual([])
    const acts = await t.stores.sql`select action from audit_log where target = 'ledger'`
    expect(acts.length).toBe(3)
  })
})

test("a partition that is stopped is not built anew: what it could not flush would be lost", async () => {
  await withLedger({ flusher: false }, async (t) => {
    await t.openAccount({ balanceFen: 100 })
    await t.stores.sql`update partitions set stopped_because = 'a gap'`
    expect(await ops(t.stores, "rebuild")).toMatchObject({
      code: 1,
      err: "Flushing of partition 0 is stopped (a gap): end that first, then ops resume 0.\n",
    })
    await t.stores.sql`update partitions set stopped_because = null`
    const flusher = await t.startFlusher()
    await t.books()
    await flusher.stop()
  })
})

test("a database without a ledger is a sentence", async () => {
  await withStores({}, async (stores) => {
    const { code, err } = await ops(stores, "rebuild")
    expect([code, err]).toEqual([1, "This database has no ledger yet: start the program.\n"])
  })
})

/** The program with this number of partitions, until the work is done and the books are recomputed. */
async function running<Value>(
  stores: Stores,
  partitions: number,
  work: (t: TestLedger) => Promise<Value>,
): Promise<Value> {
  const t = await startLedger({ ...stores, partitions })
  const value = await work(t)
  await t.books()
  await t.stop()
  return value
}

const keyed = (accountId: AccountId) =>
  chargeOf({
    accountId,
    amountFen: fen(5),
    idempotency: { digest: "0123456789abcdef", fingerprint: "123456", isOnce: false },
  })

async function cursorOf({ sql }: Stores): Promise<Map<number, number>> {
  const rows = await sql<{ partition: number; records: number }[]>`
    select partition, records::float8 as records from partitions order by partition
  `
  return new Map(rows.map(({ partition, records }) => [partition, records]))
}

test("the number of partitions changes, up and down: balances, results and positions go on", async () => {
  await withStores({}, async (stores) => {
    const accounts = await running(stores, 1, async (t) => {
      const made = await Promise.all(
        Array.from({ length: 12 }, (_, i) => t.openAccount({ balanceFen: 1_000 + i })),
      )
      await Promise.all(made.map((accountId) => chargeMany(t, accountId, 7)))
      const [first] = made
      if (first !== undefined)
        expect(await t.ledger.charge(keyed(first))).toMatchObject({ isReplay: false })
      return made
    })
    let before = await cursorOf(stores)
    for (const partitions of [4, 2, 3, 1]) {
      const { code, out, err } = await ops(stores, "rebuild", "--partitions", String(partitions))
      expect([code, err.includes("ALARM")]).toEqual([0, false])
      expect(out).toContain(`start the program with PARTITIONS=${partitions}\n`)
      await running(stores, partitions, async (t) => {
        expect(alarmsOf(t)).toEqual([])
        const [first] = accounts
        if (first !== undefined) {
          expect(await t.ledger.charge(keyed(first))).toMatchObject({
            isReplay: true,
            amountFen: 5,
          })
        }
        await Promise.all(accounts.map((accountId) => chargeMany(t, accountId, 3)))
        const rows = await stores.sql<{ accountId: AccountId; partition: number }[]>`
          select account_id as "accountId", partition from account_snapshots
        `
        for (const row of rows) {
          expect(row.partition).toBe(partitionOf(row.accountId, partitions))
        }
      })
      const after = await cursorOf(stores)
      for (const [partition, records] of before) {
        expect(after.get(partition)).toBeGreaterThanOrEqual(records)
      }
      before = after
      const keys = await names(stores)
      expect(keys.filter((partition) => partition >= partitions)).toEqual([])
    }
    const moved = await stores.sql`
      select sum(credit_fen - debit_fen)::float8 as fen, sum(credit_fen)::float8 > 0 as any
      from counter_accounts where kind = 'repartition'
    `
    expect([...moved]).toEqual([{ fen: 0, any: true }])
    expect((await ops(stores, "reconcile", "--strict")).code).toBe(0)
    expect((await ops(stores, "verify-chain")).code).toBe(0)
  })
})

/** The partitions whose names Redis has. */
async function names(stores: Stores): Promise<number[]> {
  return withConnections(stores, async ({ redis }) =>
    (await redis.of(0).keys("*")).map((name) => Number(/^\{p(\d+)/.exec(name)?.[1])),
  )
}

test("another number of partitions is refused while anything of the program is connected", async () => {
  await withStores({}, async (stores) => {
    await running(stores, 1, async (t) => {
      await t.openAccount({ balanceFen: 10 })
      const { code, err } = await ops(stores, "rebuild", "--partitions", "2")
      expect(code).toBe(1)
      expect(err).toMatch(
        /^Another number of partitions needs a ledger that nothing uses, and connected are: .*fengate flusher.*fengate keeper.*\. Stop the program everywhere first\.\n$/,
      )
    })
    expect((await ops(stores, "rebuild", "--partitions", "2")).code).toBe(0)
  })
})

test("books that do not balance are not moved to other partitions", async () => {
  await withStores({}, async (stores) => {
    await running(stores, 1, (t) => t.openAccount({ balanceFen: 10 }))
    await stores.sql`update account_snapshots set balance_fen = balance_fen + 1`
    const { code, err } = await ops(stores, "rebuild", "--partitions", "2")
    expect([code, err]).toEqual([
      1,
      "The books of partition 0 do not balance (10 and 11 fen): see ops reconcile.\n",
    ])
    expect((await readOpening(stores.sql)).partitions).toBe(1)
  })
})

test("where it is killed before Redis is built, the next start builds it", async () => {
  await withStores({}, async (stores) => {
    const accounts = await running(stores, 1, async (t) => {
      const made = await Promise.all(
        [10, 20, 30, 40].map((balanceFen) => t.openAccount({ balanceFen })),
      )
      await Promise.all(made.map((accountId) => chargeMany(t, accountId, 3)))
      return made
    })
    await withConnections(stores, (connections) =>
      withOneConnection(stores, (connection) =>
        repartitionLedger({ ...connections, connection }, { from: 1, to: 3, log: () => undefined }),
      ),
    )
    await running(stores, 3, async (t) => {
      await Promise.all(accounts.map((accountId) => chargeMany(t, accountId, 3)))
      expect((await t.books()).balancesFen).toBe(100 - 24)
    })
  })
})
