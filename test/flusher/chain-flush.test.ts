import { expect, setDefaultTimeout, test } from "bun:test"
import { flushBatch } from "../../db/queries/flush-batch.ts"
import { loadChainKeys } from "../../db/queries/load-chain-keys.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { createChainKeys } from "../../src/flusher/chain-keys.ts"
import { composeFlush } from "../../src/flusher/compose.ts"
import { readEntries } from "../../src/flusher/read-entries.ts"
import { FLUSH_RECORDS_MAX } from "../../src/limits.ts"
import { chargeMany } from "../support/flushing.ts"
import { withLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

/** The head of the hash chain moves with the watermark. The books of each test recompute it. */

test("a flush is written where records and head are those that it goes on from, and nowhere else", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const { sql } = t.stores
    await chargeMany(t, await t.openAccount({ balanceFen: 10 }), 3)
    const [place] = await readWatermarks(sql)
    if (place === undefined) throw new Error("there is one partition")
    expect(place).toMatchObject({ records: 0, chainHead: "", chainStart: 0 })
    const entries = await readEntries(t.nodes, place)
    const keys = await createChainKeys((ids) => loadChainKeys(sql, ids)).of(entries)
    const others = [{ chainHead: "ab".repeat(32) }, { records: 1 }]
    for (const other of others) {
      const flush = composeFlush({ ...place, ...other }, entries, keys)
      expect(await flushBatch(sql, flush)).toBeNull()
    }
    const flush = composeFlush(place, entries, keys)
    expect(await flushBatch(sql, flush)).toEqual({ records: 4 })
    expect(await readWatermarks(sql)).toMatchObject([flush.to])
    expect(await flushBatch(sql, flush)).toBeNull()
  })
})

test("batches that are composed before the one before them is committed make one chain", async () => {
  await withLedger({ flusher: false, partitions: 2 }, async (t) => {
    const accounts = [0, 1, 0, 1].map((partition) =>
      t.openAccount({ balanceFen: FLUSH_RECORDS_MAX, partition }),
    )
    for (const accountId of await Promise.all(accounts)) {
      await chargeMany(t, accountId, FLUSH_RECORDS_MAX)
    }
    const flusher = await t.startFlusher()
    await t.books()
    await flusher.stop()
  })
})
