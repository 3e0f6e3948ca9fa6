import type { Fault, Scene } from "../fault.ts"
import type { Breakable } from "../servers.ts"
import { signalAll } from "../servers.ts"

/** Processes that are killed or frozen, at random moments. */

type Choose = (at: Scene) => Breakable

const anyGateway: Choose = ({ site, chance }) => chance.pick(site.gateways)
const PARTS: readonly (readonly [string, Choose])[] = [
  ["a gateway", anyGateway],
  ["the flusher", ({ site }) => site.flusher],
  ["the keeper", ({ site }) => site.keeper],
  ["Redis", ({ site }) => site.redis()],
  ["Postgres", ({ site }) => site.postgres],
]

const kills = PARTS.map(
  ([name, choose]): Fault => ({
    name: `kill -9 of ${name}`,
    async strike(at) {
      const part = choose(at)
      await part.kill()
      return part.start
    },
  }),
)

/** Longer than a batch may take, and than anybody waits. */
const freezes = PARTS.map(
  ([name, choose]): Fault => ({
    name: `SIGSTOP of ${name}`,
    ...(choose === anyGateway && { freezesGateways: true as const }),
    outageMs: [400, 1_500],
    longOutageMs: [400, 6_000],
    async strike(at) {
      const part = choose(at)
      part.freeze()
      return async () => part.thaw()
    },
  }),
)

const everything: Fault = {
  name: "kill -9 of everything at once",
  async strike({ site }) {
    const parts = [...site.roles, site.redis(), site.postgres]
    await Promise.all(parts.map((part) => part.kill()))
    return async () => {
      await Promise.all([site.redis().start(), site.postgres.start()])
      await Promise.all(site.roles.map((role) => role.start()))
    }
  },
}

const bothGateways: Fault = {
  name: "kill -9 of both gateways, Redis frozen before",
  async strike({ site, chance }) {
    // Calls are answered 503, and their revokes are on the disk alone when the processes die.
    site.redis().freeze()
    await Bun.sleep(chance.between(150, 700))
    await Promise.all(site.gateways.map((gateway) => gateway.kill()))
    return async () => {
      site.redis().thaw()
      await Promise.all(site.gateways.map((gateway) => gateway.start()))
    }
  },
}

const storm: Fault = {
  name: "kill -9 of one part after the other",
  async strike(at) {
    for (const [, choose] of PARTS) {
      const part = choose(at)
      await part.kill()
      await Bun.sleep(at.chance.between(0, 150))
      await part.start()
    }
    return async () => undefined
  },
}

const terminated: Fault = {
  name: "SIGTERM of a gateway",
  async strike({ site, chance }) {
    const gateway = chance.pick(site.gateways)
    // It is told to go, and stays wanted: another is started as soon as it has gone.
    signalAll(gateway.pids(), "SIGTERM")
    return gateway.start
  },
}

export const PROCESS_FAULTS = [...kills, ...freezes, everything, bothGateways, storm, terminated]
