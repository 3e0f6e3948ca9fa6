import { programOnPath } from "../../../src/embedded/processes.ts"
import { eventually } from "../../support/eventually.ts"
import type { Fault, Scene } from "../fault.ts"
import type { RedisNode } from "../servers.ts"
import type { Site } from "../site.ts"

/** What a server needs of its machine: disk, memory, a disk that obeys, a clock. */

const withoutDisks = ({ ground }: Site) => ground.withoutDisks

/** With appendfsync always it ends rather than answer what it could not write. */
const redisDiskFull: Fault = {
  name: "disk full for Redis",
  impossible: withoutDisks,
  async strike({ site, chance }) {
    const node = site.redis()
    site.ground.fill(node.dir, 4_096 * chance.between(1, 20))
    return async () => {
      site.ground.widen(node.dir)
      await untilItStays(node)
    }
  },
}

/** It may be about to end still, of what it could not write before. */
async function untilItStays(node: RedisNode): Promise<void> {
  for (let times = 2; times > 0; times--) {
    await Bun.sleep(END_MS)
    await node.start()
    await eventually(async () => (await node.client.ping()) === "PONG", { timeoutMs: 20_000 })
  }
}
const END_MS = 250

const postgresDiskFull: Fault = {
  name: "disk full for Postgres",
  impossible: withoutDisks,
  outageMs: [600, 1_500],
  async strike({ site, chance }) {
    site.ground.fill(site.postgres.dir, 4_096 * chance.between(1, 60))
    return async () => {
      site.ground.widen(site.postgres.dir)
      await site.postgres.start()
    }
  },
}

const outOfMemory: Fault = {
  name: "out of memory in Redis",
  async strike({ site, chance }) {
    const { client } = site.redis()
    const used = Number(/^used_memory:(\d+)/m.exec(await client.info("memory"))?.[1])
    await client.config("SET", "maxmemory", used + chance.between(0, 50_000))
    return () => client.config("SET", "maxmemory", 0)
  },
}

const scriptsFlushed: Fault = {
  name: "SCRIPT FLUSH",
  outageMs: [0, 300],
  async strike({ site, chance }) {
    for (let turns = chance.between(1, 3); turns > 0; turns--) {
      await site.redis().client.script("FLUSH")
      await Bun.sleep(chance.between(0, 500))
    }
    return async () => undefined
  },
}

const BUSY = `
local function now() local t = redis.call("TIME") return t[1] * 1000 + t[2] / 1000 end
local till = now() + ARGV[1]
while now() < till do end
return "done"`

const busy: Fault = {
  name: "somebody's slow script in Redis",
  outageMs: [0, 0],
  async strike({ site, chance }) {
    await site.redis().client.eval(BUSY, 0, chance.between(300, 1_500))
    return async () => undefined
  },
}

const slowSync = withStrace("fdatasync that takes long", ({ chance }) => {
  const micros = 1_000 * chance.between(100, 400)
  return `inject=fdatasync:delay_enter=${micros}`
})

const failingSync = withStrace("fdatasync that fails", ({ chance }) => {
  return `inject=fdatasync:error=EIO:when=${chance.between(1, 30)}`
})

function withStrace(name: string, rule: (at: Scene) => string): Fault {
  return {
    name,
    impossible: () => (programOnPath("strace") === null ? "there is no strace here" : null),
    outageMs: [500, 1_200],
    async strike(at) {
      const node = at.site.redis()
      const pids = node.pids().flatMap((pid) => ["-p", String(pid)])
      const traced = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", rule(at)]
      const tracer = Bun.spawn(["strace", ...traced, ...pids], {
        ...({ stdin: "ignore", stdout: "ignore", stderr: "ignore" } as const),
      })
      return async () => {
        tracer.kill("SIGINT")
        await tracer.exited
        await node.start()
      }
    },
  }
}

/** There and back. Beyond a step back, time stands still until it has caught up. */
const clockSteps = ([1, -1] as const).map(
  (direction): Fault => ({
    name: `Redis's clock set ${direction === 1 ? "forward" : "back"}, and right again`,
    impossible: ({ clock }) => (clock === null ? "there is no C compiler here" : null),
    outageMs: [600, 1_200],
    async strike({ site, chance, isLong, note }) {
      const { clock } = site
      // Less than the day for which results of requests with a key are kept.
      const seconds = isLong ? chance.pick([3, 40, 3_600, 80_000]) : chance.between(3, 15)
      clock?.shift(direction * seconds * 1_000)
      note(`${seconds} s`)
      return async () => clock?.shift(0)
    },
  }),
)

export const RESOURCE_FAULTS: readonly Fault[] = [
  ...[redisDiskFull, postgresDiskFull, outOfMemory, scriptsFlushed, busy],
  ...[slowSync, failingSync, ...clockSteps],
]
