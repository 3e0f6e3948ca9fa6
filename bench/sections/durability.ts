import { join } from "node:path"
import { startRedis } from "../../src/embedded/redis.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { noteAccepted } from "../books.ts"
import { drained } from "../lag.ts"
import { type Contender, type Measured, measureInTurn } from "../measure.ts"
import type { Bench, Section } from "../section.ts"
import type { Gateway } from "../system.ts"
import { table, whole } from "../table.ts"
import { median } from "../target.ts"

type Name = "always" | "everysec" | "replica" | "wait"

const TITLES: Record<Name, string> = {
  always: "`appendfsync always`",
  everysec: "`appendfsync everysec`",
  replica: "`always`, with a replica that nobody waits for",
  wait: "`always`, and `REDIS_WAIT_REPLICAS=1`",
}
const WARM_UP_SECONDS = 2

/** What it costs to lose less: the same charges under each setting of Redis, in turn. */
export async function runDurability(bench: Bench): Promise<Section> {
  const { system, accounts, options, terminal, proof } = bench
  const [usual, waiting] = [
    await system.startGateway(),
    await system.startGateway({ env: { REDIS_WAIT_REPLICAS: "1", REDIS_WAIT_MS: "150" } }),
  ]
  const replica = await startReplica(bench)
  try {
    const settle = (appendfsync: string, isReplicated: boolean) => async () => {
      await system.redis.config("SET", "appendfsync", appendfsync)
      await (isReplicated ? replica.attach() : replica.detach())
      return () => system.redis.config("SET", "appendfsync", "always")
    }
    const contender = (
      name: Name,
      { url, pid }: Gateway,
      begin: NonNullable<Contender["begin"]>,
    ) => ({
      ...{ name, url, begin, path: "/v1/charges", accounts },
      pids: () => ({ gateway: [pid], redis: system.pids().redis }),
      settled: () => drained(system.redis),
    })
    const measured = await measureInTurn<Name>(
      [
        contender("always", usual, settle("always", false)),
        contender("everysec", usual, settle("everysec", false)),
        contender("replica", usual, settle("always", true)),
        contender("wait", waiting, settle("always", true)),
      ],
      {
        ...options,
        warmUpSeconds: Math.min(options.seconds, WARM_UP_SECONDS),
        onRound(name, round, { load, callsPerSecond }) {
          noteAccepted(proof, load.accepted)
          if (round === 0) return
          const { p50, p99 } = load.latencyMs
          const speed = `${whole(callsPerSecond)} charges/s  p50 ${p50} ms  p99 ${p99} ms`
          terminal.say(`${round}/${options.rounds} durability ${name.padEnd(8)} ${speed}`)
        },
      },
    )
    return describe(measured)
  } finally {
    await usual.stop()
    await waiting.stop()
    await replica.stop()
  }
}

/** A second redis-server on the same machine and disk, as durable as the first. */
async function startReplica({ system: { dir, redis } }: Bench) {
  const server = await startRedis({ dir: join(dir, "replica") })
  const client = connectRedis(server.url, { name: "fengate bench", commandTimeoutMs: 10_000 })
  await connected(client, 10_000)
  const { host = "", port = 0, password } = redis.options
  if (password) await client.config("SET", "masterauth", password)
  return {
    async attach() {
      await client.replicaof(host, port)
      while (!/master_link_status:up/.test(await client.info("replication"))) await Bun.sleep(20)
    },
    async detach() {
      await client.replicaof("NO", "ONE")
    },
    async stop() {
      client.disconnect()
      await server.stop()
    },
  }
}

function describe(measured: ReadonlyMap<Name, readonly Measured[]>): Section {
  const row = (name: Name): [string, ...string[]] => {
    const rounds = measured.get(name) ?? []
    const middle = (read: (round: Measured) => number) => median(rounds.map(read))
    return [
      TITLES[name],
      whole(middle(({ callsPerSecond }) => callsPerSecond)),
      `${middle(({ load }) => load.latencyMs.p50)} / ${middle(({ load }) => load.latencyMs.p99)}`,
      middle(({ micros }) => micros.gateway ?? Number.NaN).toFixed(1),
      middle(({ micros }) => micros.redis ?? Number.NaN).toFixed(1),
    ]
  }
  const head = ["", "charges/s", "ms p50 / p99", "CPU µs/call: gateway", "CPU µs/call: Redis"]
  return {
    title: "What durability costs",
    lines: [
      "The same charges under each setting, in turn; the replica runs on the same two cores and disk.",
      "",
      ...table(head, [row("always"), row("everysec"), row("replica"), row("wait")]),
    ],
    targets: [],
  }
}
