import slotOf from "cluster-key-slot"
import type { Redis, RedisOptions } from "ioredis"
import { REDIS_MASTER_START_MS, REDIS_POLL_MS } from "../limits.ts"
import { addressOf, at, seedUrls } from "../redis-url.ts"
import { startTicker } from "../ticker.ts"
import { hashTag } from "./hash-tag.ts"
import { type ConnectOptions, connected, connectRedis } from "./redis.ts"

const SLOTS = 16_384

/**
 * Redis as the ledger sees it: each partition lies on one node. One server has them all; in a Redis Cluster
 * its masters share them. Commands go to the node itself, over a connection that sends each once: ioredis's
 * own Cluster client sends again what it believes to be lost.
 */
export type RedisNodes = {
  /** The connection to the node that has the partition, as far as is known. */
  of(partition: number): Redis
  /** Every node that may have partitions. */
  all(): readonly Redis[]
  disconnect(): void
}

export function oneNode(redis: Redis): RedisNodes {
  const nodes = [redis]
  return { of: () => redis, all: () => nodes, disconnect: () => redis.disconnect() }
}

/**
 * Connects to the server that the URL names, or to the Cluster that it belongs to, of which one of several
 * nodes must answer. Rejects where none does within `timeoutMs`, where several servers are no Cluster, and
 * where the Cluster lacks slots.
 */
export async function connectNodes(
  redisUrl: string,
  { timeoutMs, ...options }: ConnectOptions & { timeoutMs: number },
): Promise<RedisNodes> {
  const urls = seedUrls(redisUrl)
  const seeds = new Map(urls.map((url) => [addressOf(url), connectRedis(url, options)]))
  try {
    const first = await Promise.any(
      [...seeds.values()].map(async (seed) => {
        await connected(seed, timeoutMs)
        return seed
      }),
    )
    if (/^cluster_enabled:1/m.test(await first.info("cluster"))) {
      const connect = (address: string) => connectRedis(at(urls[0] ?? "", address), options)
      return await followCluster({ seeds, first, connect })
    }
    if (seeds.size === 1) return oneNode(first)
    throw new Error("REDIS_URL names several servers, which are no Redis Cluster: name one.")
  } catch (error) {
    for (const seed of seeds.values()) seed.disconnect()
    throw error instanceof AggregateError ? error.errors[0] : error
  }
}

/** A master says, or is said, to have slots; of two, the one with the higher epoch is believed. */
type Claim = { from: number; through: number; epoch: number; address: string }

type Known = {
  seeds: ReadonlyMap<string, Redis>
  first: Redis
  connect(address: string): Redis
}

/**
 * Asks every node REDIS_POLL_MS apart which master has which slots, and follows what they say: after a
 * fail-over the promoted replica, after a move the master that took the slots over. What one node says is
 * taken when it says it, so that nobody waits for one that is frozen.
 */
async function followCluster({ seeds, first, connect }: Known): Promise<RedisNodes> {
  const pool = createPool({ seeds, connect })
  const views = new Map<Redis, readonly Claim[]>()
  const asked = new Set<Redis>()
  const owners: Redis[] = []
  let claims: readonly Claim[] = []
  await ask(first)
  requireEverySlot(claims)
  // One that is away is asked later; for the others whoever comes first need not wait.
  await Promise.allSettled(all().map((master) => connected(master, REDIS_MASTER_START_MS)))
  const ticker = startTicker({
    intervalMs: REDIS_POLL_MS,
    async work() {
      for (const node of pool.nodes()) {
        // One that is known to be away, or was asked already, says nothing.
        if (node.status === "ready" && !asked.has(node)) ask(node).catch(() => undefined)
      }
    },
    onError: () => undefined,
  })
  return {
    // Of a slot that nobody claims, the former owner stays the one who is asked, and refuses.
    of: (partition) => (owners[partition] ??= ownerOf(partition) ?? first),
    all,
    disconnect() {
      void ticker.stop()
      for (const node of pool.nodes()) node.disconnect()
    },
  }

  function all(): Redis[] {
    return [...mastersIn(claims)].flatMap((address) => pool.at(address) ?? [])
  }

  async function ask(node: Redis): Promise<void> {
    asked.add(node)
    try {
      const told = String(await node.call("CLUSTER", "NODES"))
      views.set(node, parseClaims(told, node.options))
    } finally {
      asked.delete(node)
    }
    claims = [...views.values()].flat()
    for (const gone of pool.follow(mastersIn(claims))) views.delete(gone)
    for (const [partition, owner] of owners.entries()) {
      owners[partition] = ownerOf(partition) ?? owner
    }
  }

  function ownerOf(partition: number): Redis | undefined {
    const claim = claimOf(claims, slotOf(hashTag(partition)))
    return claim === null ? undefined : pool.at(claim.address)
  }
}

/** One connection to each master, and to each node that the URL names. */
function createPool({ seeds, connect }: Pick<Known, "seeds" | "connect">) {
  const pool = new Map(seeds)
  return {
    nodes: () => [...pool.values()],
    at: (address: string) => pool.get(address),
    /** Answers those that are masters no more. */
    follow(masters: ReadonlySet<string>): Redis[] {
      for (const address of masters) {
        if (!pool.has(address)) pool.set(address, connect(address))
      }
      const gone = [...pool].filter(([address]) => !masters.has(address) && !seeds.has(address))
      for (const [address, node] of gone) {
        pool.delete(address)
        node.disconnect()
      }
      return gone.map(([, node]) => node)
    },
  }
}

function claimOf(claims: readonly Claim[], slot: number): Claim | null {
  let best: Claim | null = null
  for (const claim of claims) {
    if (slot < claim.from || slot > claim.through) continue
    if (best === null || claim.epoch > best.epoch) best = claim
  }
  return best
}

/** The addresses of those that win some slot. */
function mastersIn(claims: readonly Claim[]): ReadonlySet<string> {
  return new Set(
    claims.flatMap(({ from, through }) =>
      [from, through].flatMap((slot) => claimOf(claims, slot)?.address ?? []),
    ),
  )
}

function requireEverySlot(claims: readonly Claim[]): void {
  for (let slot = 0; slot < SLOTS; slot++) {
    if (claimOf(claims, slot) === null) {
      throw new Error(`The Redis Cluster has no master for slot ${slot}: assign all slots first.`)
    }
  }
}

/**
 * From `CLUSTER NODES`: a line each, of id, address, flags, master, two times, epoch, link and slots. A
 * node that does not know its own address has the one that was asked. With TLS a name, where there is
 * one, is what its certificate has.
 */
export function parseClaims(
  told: string,
  asked: Pick<RedisOptions, "host" | "tls">,
): readonly Claim[] {
  return told.split("\n").flatMap((line) => {
    const [, named = "", flags = "", , , , epoch, , ...slots] = line.trim().split(" ")
    const [place = "", name = ""] = named.split(",")
    const [hostPort = ""] = place.split("@")
    const colon = hostPort.lastIndexOf(":")
    const ip = (asked.tls && name) || hostPort.slice(0, colon) || asked.host || ""
    const address = `${ip.includes(":") ? `[${ip}]` : ip}:${hostPort.slice(colon + 1)}`
    const kinds = flags.split(",")
    if (!kinds.includes("master") || kinds.includes("noaddr")) return []
    return slots.flatMap((range) => {
      const [from, through = from] = range.split("-").map(Number)
      // What is being moved is in brackets, and stays with its owner until it has arrived.
      if (from === undefined || through === undefined || Number.isNaN(from)) return []
      return [{ from, through, epoch: Number(epoch), address }]
    })
  })
}
