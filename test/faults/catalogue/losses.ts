import { cpSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs"
import { join } from "node:path"
import { eventually } from "../../support/eventually.ts"
import type { Fault, Scene } from "../fault.ts"
import { readAndFlushAll, readEvidence, readPlaces } from "../loss.ts"
import type { RedisNode } from "../servers.ts"
import type { Site } from "../site.ts"

/**
 * A Redis that does not have any more what it had answered. It is never believed, what Postgres has comes
 * back, and what only Redis had is counted, to the record.
 */

/** Nobody reaches Redis but the test, which looks at what is about to be lost. */
async function isolate({ site, evidence }: Scene): Promise<void> {
  for (const { toRedis } of site.roles) toRedis.refuse()
  evidence.push(...(await readEvidence(site.redis().client, await readPlaces(site.sql))))
}

function reconnect(site: Site): void {
  for (const { toRedis } of site.roles) toRedis.accept()
}

async function restart(site: Site, node: RedisNode): Promise<void> {
  await node.start()
  reconnect(site)
}

const flushAll: Fault = {
  name: "FLUSHALL",
  mayLose: true,
  outageMs: [0, 0],
  async strike({ site, evidence }) {
    evidence.push(...(await readAndFlushAll(site.redis().client, await readPlaces(site.sql))))
    return async () => undefined
  },
}

const emptied: Fault = {
  name: "Redis replaced by an empty one",
  mayLose: true,
  async strike(at) {
    const node = at.site.redis()
    await isolate(at)
    await node.kill()
    rmSync(aofOf(node), { recursive: true })
    return () => restart(at.site, node)
  },
}

const oldAof: Fault = {
  name: "an old AOF put back",
  mayLose: true,
  async strike(at) {
    const node = at.site.redis()
    const copy = join(at.site.ground.dir, "old-aof")
    rmSync(copy, { recursive: true, force: true })
    cpSync(aofOf(node), copy, { recursive: true })
    await Bun.sleep(at.chance.between(100, 800))
    await isolate(at)
    await node.kill()
    rmSync(aofOf(node), { recursive: true })
    cpSync(copy, aofOf(node), { recursive: true })
    return () => restart(at.site, node)
  },
}

const truncatedAof: Fault = {
  name: "the AOF cut off at a random byte",
  mayLose: true,
  async strike(at) {
    const node = at.site.redis()
    await isolate(at)
    await node.kill()
    const file = newestAof(node)
    const { size } = statSync(file)
    // Mostly what was written last, as a disk loses it; sometimes all of it.
    const kept = at.chance.is(0.7)
      ? size - at.chance.between(1, Math.min(size, 20_000))
      : at.chance.between(0, size)
    truncateSync(file, kept)
    at.note(`${size - kept} of ${size} bytes`)
    return () => restart(at.site, node)
  },
}

function aofOf({ dir }: RedisNode): string {
  return join(dir, "appendonlydir")
}

function newestAof(node: RedisNode): string {
  const files = readdirSync(aofOf(node)).filter((name) => name.endsWith(".incr.aof"))
  const numbered = files.map((name) => ({ name, number: Number(/\.(\d+)\.incr/.exec(name)?.[1]) }))
  const [last] = numbered.toSorted((a, b) => b.number - a.number)
  if (last === undefined) throw new Error("there is no append-only file")
  return join(aofOf(node), last.name)
}

const promoted: Fault = {
  name: "a lagging replica promoted",
  mayLose: true,
  outageMs: [0, 300],
  async strike(at) {
    const { site } = at
    const replica = await site.startReplica()
    await follow(replica, site.redis())
    return await failOver(at, replica)
  },
}

/** The master of before comes back as a replica, with the scripts that it had, and is promoted again. */
const promotedTwice: Fault = {
  name: "two nodes promoted in turn, each lagging",
  mayLose: true,
  outageMs: [0, 300],
  async strike(at) {
    const { site } = at
    const first = site.redis()
    const second = await site.startReplica()
    await follow(second, first)
    const heal = await failOver(at, second)
    await heal()
    await Bun.sleep(at.chance.between(400, 1_200))
    await follow(first, second)
    return await failOver(at, first)
  },
}

/** Resolves when it has everything. */
async function follow(replica: RedisNode, master: RedisNode): Promise<void> {
  await master.client.config("SET", "repl-diskless-sync-delay", "0")
  await replica.client.replicaof("127.0.0.1", master.port)
  await eventually(
    async () => /master_link_status:up/.test(await replica.client.info("replication")),
    { timeoutMs: 20_000 },
  )
}

/** The replica hears no more, the master goes on for a while and is then left alone. */
async function failOver(at: Scene, replica: RedisNode): Promise<() => Promise<void>> {
  const { site, chance } = at
  const master = site.redis()
  // Frozen, it lags by what comes meanwhile; the connection is gone before it wakes up.
  replica.freeze()
  await Bun.sleep(chance.between(50, 400))
  await isolate(at)
  await master.client.call("CLIENT", "KILL", "TYPE", "replica")
  replica.thaw()
  await replica.client.replicaof("NO", "ONE")
  return async () => {
    site.promote(replica)
    reconnect(site)
  }
}

export const LOSS_FAULTS: readonly Fault[] = [
  ...[flushAll, emptied, oldAof, truncatedAof, promoted, promotedTwice],
]
