import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { appendFileSync, mkdtempSync, readFileSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { anchorsDirOf, createAnchors, readAnchors } from "../../src/flusher/anchors.ts"
import { verifyChain } from "../../src/reconcile/chain.ts"
import { keepPostgres, pay } from "../recovery/recovering.ts"
import { eventually } from "../support/eventually.ts"
import { chargeMany } from "../support/flushing.ts"
import { startLedger, withLedger, withStores } from "../support/ledger.ts"

setDefaultTimeout(30_000)

/** Where a chain stood is written down outside of the database, and only ever appended to. */

const [A, B] = ["a".repeat(64), "b".repeat(64)]

/** Anchors of chains that stand where the test says. */
function anchorsOf(dir = join(mkdtempSync(join(tmpdir(), "fengate-test-anchors-")), "anchors")) {
  const ends = [
    { partition: 0, records: 5, chainHead: A },
    { partition: 1, records: 0, chainHead: "" },
  ]
  const anchors = createAnchors({ dir, readEnds: async () => ends })
  const move = (records: number, chainHead: string) => {
    ends[0] = { partition: 0, records, chainHead }
  }
  const read = async () => (await readAnchors(dir, 0)).map(({ records, head }) => [records, head])
  return { dir, ...anchors, move, read }
}

describe("an anchor is written", () => {
  test("where the chain has moved since the last one, and where it has a record at all", async () => {
    const { dir, append, move, read } = anchorsOf()
    expect(await read()).toEqual([])
    for (const _ of [1, 2]) await append()
    expect(await read()).toEqual([[5, A]])
    move(7, B)
    for (const _ of [1, 2]) await append()
    expect(await read()).toEqual([
      [5, A],
      [7, B],
    ])
    expect(await readAnchors(dir, 1)).toEqual([])
    const again = anchorsOf(dir)
    again.move(7, B)
    await again.append()
    expect(await read()).toHaveLength(2)
  })

  test("for nobody else to read", async () => {
    const { dir, append } = anchorsOf()
    await append()
    expect(statSync(join(dir, "partition-0.jsonl")).mode & 0o777).toBe(0o600)
    expect(statSync(dir).mode & 0o777).toBe(0o700)
  })

  test("on a line of its own, also after one that was torn off; that one says nothing", async () => {
    const { dir, append, move, read } = anchorsOf()
    await append()
    appendFileSync(join(dir, "partition-0.jsonl"), '{"partition":0,"records":6,"he')
    move(7, B)
    await append()
    expect(await read()).toEqual([
      [5, A],
      [7, B],
    ])
  })
})

test("the flusher writes them when it stops, and they are those of the chain", async () => {
  await withStores({ partitions: 2 }, async (stores) => {
    const t = await startLedger(stores, { flusher: false })
    const accountId = await t.openAccount({ balanceFen: 10, partition: 1 })
    for (const anchors of [1, 2]) {
      const flusher = await t.startFlusher()
      await chargeMany(t, accountId, 2)
      await flusher.stop()
      const anchorsDir = anchorsDirOf(stores.dataDir)
      const report = await verifyChain({ sql: stores.sql, anchorsDir }, { partition: 1 })
      const records = 1 + 2 * anchors
      expect(report).toEqual({ partition: 1, records, anchors, findings: [] })
      const text = readFileSync(join(anchorsDir, "partition-1.jsonl"), "utf8")
      expect(text.split("\n").at(-2)).toMatch(
        new RegExp(
          `^\\{"partition":1,"records":${records},"head":"[0-9a-f]{64}","at":"20[^"]+Z"\\}$`,
        ),
      )
      expect(await readAnchors(anchorsDir, 0)).toEqual([])
    }
    await t.books()
    await t.stop()
  })
})

test("a flusher that cannot write them says so, and flushes all the same", async () => {
  await withStores({}, async (stores) => {
    const t = await startLedger(stores)
    const accountId = await t.openAccount({ balanceFen: 10 })
    await t.books()
    appendFileSync(anchorsDirOf(stores.dataDir), "a file, where the folder should be")
    await chargeMany(t, accountId, 2)
    await t.stop()
    expect(t.log).toContainEqual(expect.stringMatching(/^the last anchors were not written: /))
    const verified = await verifyChain({ sql: stores.sql, anchorsDir: null }, { partition: 0 })
    expect(verified).toEqual({ partition: 0, records: 3, anchors: 0, findings: [] })
  })
})

test("a Postgres that was restored and filled up again comes to the same heads: its anchors hold", async () => {
  await withLedger({}, async (t) => {
    const { sql, dataDir } = t.stores
    const accountId = await t.openAccount({ balanceFen: 100 })
    await pay(t, accountId)
    await t.books()
    const restore = await keepPostgres(t)
    const unknown = await t.openAccount({ balanceFen: 0 })
    for (let n = 0; n < 3; n++) await pay(t, accountId)
    await t.books()
    const keyOfUnknown = async () => {
      const [row] = await sql<{ key: string }[]>`
        select chain_key as key from account_snapshots where account_id = ${unknown}
      `
      return row?.key
    }
    const key = await keyOfUnknown()
    expect(key).toMatch(/^[0-9a-f]{32}$/)
    const dir = anchorsDirOf(dataDir)
    await createAnchors({ dir, readEnds: () => readWatermarks(sql) }).append()
    await restore()
    await pay(t, accountId)
    await eventually(async () => (await t.ledger.isRecordBehind().catch(() => "")) === "level")
    await eventually(async () =>
      expect(await verifyChain({ sql, anchorsDir: dir }, { partition: 0 })).toEqual({
        ...{ partition: 0, records: 6, anchors: 1, findings: [] },
      }),
    )
    expect(await keyOfUnknown()).toBe(key ?? "")
  })
})
