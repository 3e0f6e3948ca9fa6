import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import slotOf from "cluster-key-slot"
import { readOpening } from "../../db/queries/read-opening.ts"
import type { AccountId } from "../../src/ids.ts"
import { connectNodes } from "../../src/ledger/cluster.ts"
import { hashTag } from "../../src/ledger/hash-tag.ts"
import { createLedger, type Ledger } from "../../src/ledger/ledger.ts"
import { startKeeper } from "../../src/recovery/keeper.ts"
import { type IncidentRow, incidentsOf } from "../recovery/recovering.ts"
import { type ClusterNode, type RedisCluster, startRedisCluster } from "../support/cluster.ts"
import { eventually } from "../support/eventually.ts"
import { failureOf } from "../support/failure.ts"
import { ready, startLedger, type TestLedger } from "../support/ledger.ts"
import { type Stores, signal, startStores } from "../support/stores.ts"
import { accepts, judge, type Load, startLoad } from "./load.ts"

setDefaultTimeout(120_000)

/**
 * A real Redis Cluster of three masters and three replicas, with six partitions, two gateways and two
 * flushers. Each call is compared with the record, one by one, and the books are recomputed.
 */

const PARTITIONS = 6
const BALANCE_FEN = 1_000_000
const SLOW = { timeoutMs: 60_000 }

let cluster: RedisCluster
let stores: Stores
let t: TestLedger
let second: Ledger
let flushers: readonly { stop(): Promise<void> }[] = []
let accounts: AccountId[]

beforeAll(async () => {
  const local = await startStores({ partitions: PARTITIONS })
  cluster = await startRedisCluster(mkdtempSync(join(tmpdir(), "fengate-cluster-")))
  stores = { ...local, redisUrl: cluster.url }
  t = await startLedger(stores, { flusher: false })
  second = await createLedger({
    ...{ redisUrl: cluster.url, sql: stores.sql, dataDir: stores.dataDir },
    ...{ onBatch: () => undefined, log: () => undefined },
  })
  await ready(second)
  await startFlushers()
  accounts = await Promise.all(
    Array.from({ length: PARTITIONS }, (_, partition) =>
      t.openAccount({ balanceFen: BALANCE_FEN, partition }),
    ),
  )
})

afterAll(async () => {
  await second.stop()
  await stopFlushers()
  await t.stop()
  await cluster.stop()
  await stores.stop()
})

async function startFlushers(): Promise<void> {
  flushers = await Promise.all([t.startFlusher(), t.startFlusher()])
}

async function stopFlushers(): Promise<void> {
  await Promise.all(flushers.map((flusher) => flusher.stop()))
}

/** The partitions whose slot that node has, as the Cluster says. */
async function partitionsOf({ redis, id }: ClusterNode): Promise<number[]> {
  const told = String(await redis.call("CLUSTER", "NODES"))
  const ranges = (told.split("\n").find((line) => line.startsWith(id)) ?? "").split(" ").slice(8)
  return Array.from({ length: PARTITIONS }, (_, partition) => partition).filter((partition) => {
    const slot = slotOf(hashTag(partition))
    return ranges.some((range) => {
      const [from = 0, through = from] = range.split("-").map(Number)
      return slot >= from && slot <= through
    })
  })
}

async function masterOf(partition: number): Promise<ClusterNode> {
  for (const node of [...cluster.masters, ...cluster.replicas]) {
    const told = String(await node.redis.call("CLUSTER", "NODES").catch(() => ""))
    if (!/myself,master/.test(told)) continue
    if ((await partitionsOf(node)).includes(partition)) return node
  }
  throw new Error(`no master has partition ${partition}`)
}

async function replicaOf(master: ClusterNode): Promise<ClusterNode> {
  for (const node of [...cluster.masters, ...cluster.replicas]) {
    const told = String(await node.redis.call("CLUSTER", "NODES").catch(() => ""))
    const [, , , of] = (told.split("\n").find((line) => line.includes("myself")) ?? "").split(" ")
    if (of === master.id) return node
  }
  throw new Error(`the master on port ${master.port} has no replica`)
}

/** Under load; `during` breaks something, and returns once what it broke is mended. */
async function underLoad(during: (load: Load) => Promise<void>): Promise<Load> {
  const load = startLoad([t.ledger, second], accounts)
  await eventually(() => accounts.every((accountId) => accepts(load, accountId, 0)))
  await during(load)
  const since = performance.now()
  await eventually(() => accounts.every((accountId) => accepts(load, accountId, since)), SLOW)
  await load.stop()
  await Promise.all([ready(t.ledger), ready(second)])
  return load
}

async function verdictOf(load: Load): Promise<{ accepted: number; lost: number; phantom: number }> {
  await t.books()
  const verdicts = await Promise.all(accounts.map((id) => judge(stores.sql, load, id)))
  return verdicts.reduce((sum, each) => ({
    accepted: sum.accepted + each.accepted,
    lost: sum.lost + each.lost,
    phantom: sum.phantom + each.phantom,
  }))
}

const lostIn = (incidents: readonly IncidentRow[]) =>
  incidents.reduce(
    (sum, { kind, records }) => sum + (kind === "records_lost" ? (records ?? 0) : 0),
    0,
  )

describe("a Redis Cluster", () => {
  test("has partitions on each of its masters, and both gateways charge in all of them", async () => {
    const found = await Promise.all(cluster.masters.map(partitionsOf))
    expect(found.map((partitions) => partitions.length)).toEqual([2, 2, 2])
    const load = await underLoad(async (calls) => {
      await eventually(() => accounts.every((id) => calls.calls(id).length >= 50), SLOW)
    })
    expect(await verdictOf(load)).toMatchObject({ lost: 0, phantom: 0 })
    expect(accounts.flatMap(load.calls).every(({ isAccepted }) => isAccepted)).toBe(true)
  })

  test("a fail-over that a replica asks for loses nothing, and what the other masters have goes on", async () => {
    const master = await masterOf(0)
    const moved = await partitionsOf(master)
    const load = await underLoad(async (calls) => {
      const replica = await replicaOf(master)
      await replica.redis.call("CLUSTER", "FAILOVER")
      await eventually(async () => (await masterOf(0)) === replica)
      const since = performance.now()
      await eventually(() => accepts(calls, accounts[0] ?? fail(), since), SLOW)
    })
    expect(await verdictOf(load)).toMatchObject({ lost: 0, phantom: 0 })
    for (const [partition, accountId] of accounts.entries()) {
      if (moved.includes(partition)) continue
      expect(load.calls(accountId).filter(({ isAccepted }) => !isAccepted)).toEqual([])
    }
  })

  test("a master that dies: its replica takes over, and what it had not is counted as lost", async () => {
    const before = lostIn(await incidentsOf(t))
    const master = await masterOf(1)
    const load = await underLoad(async (calls) => {
      const replica = await replicaOf(master)
      await master.kill()
      await eventually(async () => (await masterOf(1)) === replica, SLOW)
      const since = performance.now()
      await eventually(() => accepts(calls, accounts[1] ?? fail(), since), SLOW)
      await master.restart()
    })
    const verdict = await verdictOf(load)
    expect(verdict).toMatchObject({ phantom: 0 })
    expect(lostIn(await incidentsOf(t)) - before).toBe(verdict.lost)
  })

  test("a master that is frozen: its replica takes over; it wakes up as a replica, and charges nobody", async () => {
    const before = lostIn(await incidentsOf(t))
    const master = await masterOf(2)
    const load = await underLoad(async (calls) => {
      const replica = await replicaOf(master)
      signal(master.pid(), "SIGSTOP")
      await eventually(async () => (await masterOf(2)) === replica, SLOW)
      const since = performance.now()
      await eventually(() => accepts(calls, accounts[2] ?? fail(), since), SLOW)
      signal(master.pid(), "SIGCONT")
      await eventually(async () => (await replicaOf(replica)) === master, SLOW)
    })
    const verdict = await verdictOf(load)
    expect(verdict).toMatchObject({ phantom: 0 })
    expect(lostIn(await incidentsOf(t)) - before).toBe(verdict.lost)
  })

  test("a replica that lags and is promoted: exactly what it had not is lost, and is told", async () => {
    const before = lostIn(await incidentsOf(t))
    const master = await masterOf(3)
    const replica = await replicaOf(master)
    // What Postgres has is not lost.
    await stopFlushers()
    const load = await underLoad(async (calls) => {
      signal(replica.pid(), "SIGSTOP")
      // Else what the master sends waits in the replica's socket.
      await master.redis.call("CLIENT", "KILL", "TYPE", "replica")
      const since = performance.now()
      await eventually(
        () =>
          calls
            .calls(accounts[3] ?? fail())
            .filter((call) => call.isAccepted && call.startedAt > since).length > 50,
      )
      await master.kill()
      signal(replica.pid(), "SIGCONT")
      await eventually(async () => (await masterOf(3)) === replica, SLOW)
      const after = performance.now()
      await eventually(() => accepts(calls, accounts[3] ?? fail(), after), SLOW)
      await master.restart()
      await startFlushers()
    })
    const verdict = await verdictOf(load)
    expect(verdict.phantom).toBe(0)
    expect(verdict.lost).toBeGreaterThan(50)
    expect(lostIn(await incidentsOf(t)) - before).toBe(verdict.lost)
  })

  test("a slot that is moved to another master takes its partition along, with its generation", async () => {
    const [before, { generations }] = [await incidentsOf(t), await readOpening(stores.sql)]
    const [from, to] = [await masterOf(4), await masterOf(5)]
    const load = await underLoad(async (calls) => {
      await moveSlot(slotOf(hashTag(4)), { from, to })
      const since = performance.now()
      await eventually(() => accepts(calls, accounts[4] ?? fail(), since), SLOW)
    })
    expect(await verdictOf(load)).toMatchObject({ lost: 0, phantom: 0 })
    expect(await masterOf(4)).toBe(to)
    expect(await incidentsOf(t)).toEqual(before)
    expect((await readOpening(stores.sql)).generations).toEqual(generations)
  })

  test("without a master and its replica is started, and charges what the others have", async () => {
    const master = await masterOf(0)
    const away = [master, await replicaOf(master)]
    const gone = await partitionsOf(master)
    for (const node of away) await node.kill()
    const { redisUrl, databaseUrl, partitions, sql, dataDir } = stores
    const quiet = { log: () => undefined }
    const keeper = await startKeeper({ redisUrl, databaseUrl, partitions, ...quiet })
    const third = await createLedger({ redisUrl, sql, dataDir, onBatch: () => undefined, ...quiet })
    const load = startLoad([third], accounts)
    for (const [partition, accountId] of accounts.entries()) {
      if (!gone.includes(partition)) await eventually(() => accepts(load, accountId, 0))
    }
    expect(gone.some((partition) => accepts(load, accounts[partition] ?? fail(), 0))).toBe(false)
    expect(await third.health()).toMatchObject({ status: "unavailable", isPartial: true })

    for (const node of away) await node.restart()
    await eventually(() => accounts.every((accountId) => accepts(load, accountId, 0)), SLOW)
    await load.stop()
    await third.stop()
    await keeper.stop()
    await Promise.all([ready(t.ledger), ready(second)])
    expect(await verdictOf(load)).toMatchObject({ lost: 0, phantom: 0 })
  })

  test("of which one node may evict is refused, and told which node it is", async () => {
    const node = await masterOf(0)
    await node.redis.config("SET", "maxmemory-policy", "allkeys-lru")
    const { redisUrl, databaseUrl, partitions } = stores
    const starting = startKeeper({ redisUrl, databaseUrl, partitions, log: () => undefined })
    expect(await failureOf(starting)).toContain(`Redis 127.0.0.1:${node.port} may evict balances`)
    await node.redis.config("SET", "maxmemory-policy", "noeviction")
  })
})

/** As an operator does it, key by key. */
async function moveSlot(
  slot: number,
  { from, to }: { from: ClusterNode; to: ClusterNode },
): Promise<void> {
  const [name, count] = [String(slot), "10"]
  await to.redis.call("CLUSTER", "SETSLOT", name, "IMPORTING", from.id)
  await from.redis.call("CLUSTER", "SETSLOT", name, "MIGRATING", to.id)
  for (;;) {
    const keys = await from.redis.call("CLUSTER", "GETKEYSINSLOT", name, count)
    if (!Array.isArray(keys) || keys.length === 0) break
    const place = ["127.0.0.1", String(to.port), "", "0", "5000", "KEYS"]
    await from.redis.call("MIGRATE", ...place, ...keys.map(String))
  }
  for (const node of [to, from]) await node.redis.call("CLUSTER", "SETSLOT", name, "NODE", to.id)
}

function fail(): never {
  throw new Error("no such account")
}

test("a Cluster of which no node answers is told in a sentence", async () => {
  const started = connectNodes("redis://127.0.0.1:1,127.0.0.1:2", {
    ...{ name: "test", commandTimeoutMs: 500, timeoutMs: 500 },
  })
  expect(await failureOf(started)).toContain("Redis did not answer within 500 ms.")
})

test("several servers that are no Cluster are refused: one would be charged, and another asked", async () => {
  const [one, other] = [await startStores(), await startStores()]
  const started = connectNodes(`${one.redisUrl},${other.redisUrl}`, {
    ...{ name: "test", commandTimeoutMs: 500, timeoutMs: 5_000 },
  })
  expect(await failureOf(started)).toContain(
    "REDIS_URL names several servers, which are no Redis Cluster",
  )
  await Promise.all([one.stop(), other.stop()])
})
