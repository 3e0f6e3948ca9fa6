import { expect, setDefaultTimeout, test } from "bun:test"
import { addIncident } from "../../db/queries/add-incident.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { anchorsDirOf, createAnchors } from "../../src/flusher/anchors.ts"
import { startKeeper } from "../../src/recovery/keeper.ts"
import { eventually } from "../support/eventually.ts"
import { chargeMany } from "../support/flushing.ts"
import { withLedger, withStores } from "../support/ledger.ts"
import { ops } from "./ops.ts"

setDefaultTimeout(60_000)

test("status tells of each partition, both stores, and what went wrong last", async () => {
  await withLedger({ partitions: 2, flusher: false }, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100, partition: 1 })
    const flusher = await t.startFlusher()
    await chargeMany(t, accountId, 9)
    await t.books()
    await eventually(async () => {
      const proofs = await t.stores.sql`select 1 from reconciliation where reconciled_position = 10`
      return proofs.length === 1
    })
    await flusher.stop()
    await createAnchors({
      dir: anchorsDirOf(t.stores.dataDir),
      readEnds: () => readWatermarks(t.stores.sql),
    }).append()
    await chargeMany(t, accountId, 5)
    await addIncident(t.stores.sql, {
      ...{ partition: 0, generation: 1, kind: "redis_lost", detail: "a test has said so" },
      ...{ fromEntry: 3, throughEntry: null, records: null },
    })

    const { code, out } = await ops(t.stores, "status", "--json")
    const status = JSON.parse(out)
    expect(code).toBe(0)
    expect(status.partitions[1]).toEqual({
      ...{ partition: 1, state: "open", reason: null, generation: 1, claimed: 1, opening: 1 },
      ...{ entryNumber: expect.any(Number), records: 10, flushedAt: expect.stringMatching(/Z$/) },
      ...{ lagRecords: 5, lagSeconds: expect.any(Number), reconciledPosition: 10, driftFen: 0 },
      ...{ checkedAt: expect.stringMatching(/Z$/), chainLength: 10, anchoredLength: 10 },
    })
    expect(status.redis).toMatchObject([
      { version: expect.stringMatching(/^\d/), role: "master", appendfsync: "always", replicas: 0 },
    ])
    expect(status.postgres.sizeBytes).toBeGreaterThan(1_000_000)
    expect(status.incidents).toMatchObject([{ kind: "redis_lost", detail: "a test has said so" }])

    const text = (await ops(t.stores, "status")).out
    expect(text).toMatch(/^partition +state +generation +opening +lag /)
    expect(text).toMatch(/^1 +open +1 +1 +5 \(\d+\.\d s\) +10 .* +10 +0 fen +10 +10$/m)
    expect(text).toMatch(
      /^Redis 7\S+ 127\.0\.0\.1:\d+: master, .* noeviction, appendfsync always, 0 replicas$/m,
    )
    expect(text).toMatch(/^Postgres \d+\S*: \d+\.\d MB, \d+ connections$/m)
    expect(text).toContain("a test has said so")
    const again = await t.startFlusher()
    await t.books()
    await again.stop()
  })
})

test("status says why a partition is not open", async () => {
  await withStores({ partitions: 2 }, async (stores) => {
    const { redisUrl, databaseUrl, partitions, sql } = stores
    const keeper = await startKeeper({ redisUrl, databaseUrl, partitions, log: () => undefined })
    await keeper.stop()
    const state = async (partition: number) => {
      const { partitions: told } = JSON.parse((await ops(stores, "status", "--json")).out)
      return { state: told[partition].state, reason: told[partition].reason }
    }
    expect(await state(1)).toEqual({ state: "open", reason: null })
    await sql`update partitions set stopped_because = 'a record is missing' where partition = 1`
    expect(await state(1)).toEqual({ state: "stopped", reason: "stopped: a record is missing" })
    expect((await ops(stores, "status")).out).toContain(
      "partition 1: stopped: a record is missing\n",
    )
    await sql`update partitions set stopped_because = null, is_refilling = true where partition = 1`
    expect((await state(1)).state).toBe("refilling")
    await sql`update partitions set generation = 7 where partition = 0`
    expect(await state(0)).toEqual({
      state: "fenced",
      reason: "Redis has generation 1, and Postgres generation 7",
    })
    await sql`update partitions set is_open = false where partition = 0`
    expect(await state(0)).toEqual({ state: "closed", reason: "it is not open yet" })
  })
})

test("status tells what it can while a store is away, and exits with 1", async () => {
  await withLedger({ flusher: false }, async (t) => {
    await t.stores.killRedis()
    const { code, out } = await ops(t.stores, "status")
    expect(code).toBe(1)
    expect(out).toMatch(/^0 +unknown +1 +1 +\? +0 /m)
    expect(out).toContain("partition 0: Redis does not answer\n")
    expect(out).toContain("Redis: Redis cannot be reached: ")
    await t.stores.restartRedis()
    await eventually(() => t.redis.ping())
    const gone = { ...t.stores, databaseUrl: "postgres://nobody@127.0.0.1:1/none" }
    const withoutPostgres = await ops(gone, "status")
    expect(withoutPostgres.code).toBe(1)
    expect(withoutPostgres.out).toContain(
      "Postgres: Postgres cannot be reached: connect ECONNREFUSED",
    )
    expect(withoutPostgres.out).toMatch(/^Redis 7/m)
    const flusher = await t.startFlusher()
    await t.books()
    await flusher.stop()
  })
})
