import { expect, setDefaultTimeout, test } from "bun:test"
import { metaKey } from "../../src/ledger/keys.ts"
import { readLedgerFigures } from "../../src/operations/ledger-figures.ts"
import { eventually } from "../support/eventually.ts"
import { withLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

test("a partition is fenced while Redis does not say, was wiped, or gives no slot", async () => {
  await withLedger({ partitions: 2 }, async (t) => {
    await t.openAccount({ balanceFen: 10, partition: 0 })
    await t.books()
    const figures = () => readLedgerFigures({ sql: t.stores.sql, ledger: t.ledger })
    const fenced = async () => (await figures()).partitions.map(({ isFenced }) => isFenced)
    await eventually(async () => expect(await fenced()).toEqual([false, false]))

    await t.redis.set(metaKey(1), Buffer.alloc(58))
    await eventually(async () => expect(await fenced()).toContain(true))
    await eventually(async () => expect(await fenced()).toEqual([false, false]))
    await t.stores.killRedis()
    await eventually(async () => expect(await fenced()).toEqual([true, true]))
    await t.stores.restartRedis()
    await eventually(() => t.redis.ping())
    await eventually(async () => expect(await fenced()).toEqual([false, false]))
  })
})

test("the drift is left out where nobody has proven the books for a minute", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const flusher = await t.startFlusher()
    await t.books()
    const drift = async () =>
      (await readLedgerFigures({ sql: t.stores.sql, ledger: t.ledger })).driftFen
    const proofs = () => t.stores.sql`select checked_at from reconciliation`
    await eventually(async () => (await proofs()).length === 1)
    expect(await drift()).toBe(0)
    await flusher.stop()
    await t.stores.sql`update reconciliation set checked_at = now() - interval '61 seconds'`
    expect(await drift()).toBeNull()
    const again = await t.startFlusher()
    await eventually(async () => expect(await drift()).toBe(0))
    await again.stop()
  })
})
