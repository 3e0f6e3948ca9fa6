import { expect, setDefaultTimeout, test } from "bun:test"
import { createLedger } from "../../src/ledger/ledger.ts"
import { BATCH_ITEMS_MAX } from "../../src/limits.ts"
import { fen } from "../../src/money.ts"
import { chargeOf } from "../support/details.ts"
import { ready, withLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

test("one script call never stops Redis for more than a full batch, however many calls come at once", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 10_000 })
    const { redisUrl, sql, dataDir } = t.stores
    const batches: number[] = []
    const ledger = await createLedger({
      ...{ redisUrl, sql, dataDir, log: () => undefined },
      onBatch: (items) => void batches.push(items),
    })
    await ready(ledger)
    const item = chargeOf({ accountId, amountFen: fen(1) })
    await Promise.all(Array.from({ length: 3_000 }, () => ledger.charge(item)))
    expect(Math.max(...batches)).toBe(BATCH_ITEMS_MAX)
    await ledger.stop()
  })
})
