import { readOpening } from "../../../db/queries/read-opening.ts"
import { SCRIPT_NAMES, type ScriptName, scriptHashes } from "../../../src/ledger/scripts.ts"
import type { Fault, Heal, Scene } from "../fault.ts"
import { readAndFlushAll, readPlaces } from "../loss.ts"
import type { Breakable } from "../servers.ts"
import type { Role, Site } from "../site.ts"

/**
 * Processes and stores that are killed at a named step: when it has been asked for, and has not
 * happened; or when it has, and who asked has not heard of it.
 */

type Moment = "request" | "reply"
type Step = {
  name: string
  /** What passes the relay in that moment, and nowhere else; a script's name stands for its hash. */
  text: string
  relay: "toRedis" | "toPostgres"
}

/** In the details of every batch, and of every flush that carries charges. */
const CHARGES = "user.login"

const SCRIPT_LOAD = "-- opening "

const FLUSHER_STEPS: readonly Step[] = [
  { name: "reading the stream", text: "xrange", relay: "toRedis" },
  { name: "its statement", text: CHARGES, relay: "toPostgres" },
  { name: "telling meta", text: "acknowledge", relay: "toRedis" },
]
const GATEWAY_STEPS: readonly Step[] = [
  { name: "a batch", text: CHARGES, relay: "toRedis" },
  { name: "opening a slot", text: "openSlot", relay: "toRedis" },
  { name: "a revoke", text: "revoke", relay: "toRedis" },
]
const RECOVERY_STEPS: readonly Step[] = [
  { name: "claiming a generation", text: "set claimed", relay: "toPostgres" },
  { name: "fencing", text: "fence_partition:", relay: "toRedis" },
  { name: "beginning the stream", text: "xadd", relay: "toRedis" },
  { name: "building", text: "mset", relay: "toRedis" },
  { name: "switching", text: "insert into generations", relay: "toPostgres" },
  { name: "loading scripts", text: SCRIPT_LOAD, relay: "toRedis" },
  { name: "opening", text: "open_partition:", relay: "toRedis" },
  { name: "marking it open", text: "set is_open = true", relay: "toPostgres" },
]
const MOMENTS: readonly Moment[] = ["request", "reply"]
const HIT_MS_MAX = 15_000

/** Somebody takes a step, and somebody dies of it. */
type Work = {
  name: string
  steps: readonly Step[]
  actor(at: Scene): Role
  /** Makes the actor take the step. */
  provoke?(at: Scene, role: Role, step: Step): Promise<unknown>
  mayLose?: true
}

const flush: Work = {
  name: "a flush",
  steps: FLUSHER_STEPS,
  actor: ({ site }) => site.flusher,
}

const batch: Work = {
  name: "a batch",
  steps: GATEWAY_STEPS,
  actor: ({ site, chance }) => chance.pick(site.gateways),
  async provoke(_at, role, { text }) {
    // Beyond their deadline, batches are revoked.
    if (text === "revoke") role.toRedis.holdReplies()
    // A process that starts opens its slots.
    if (text === "openSlot") {
      await role.kill()
      await role.start()
    }
  },
}

/** A new process each time: on a connection that is new, a statement passes as its text. */
const recovery: Work = {
  name: "a recovery",
  steps: RECOVERY_STEPS,
  actor: ({ site }) => site.keeper,
  async provoke({ site, evidence }, role, { text }) {
    await role.kill()
    // A node that has them keeps them.
    if (text === SCRIPT_LOAD) await site.redis().client.script("FLUSH")
    evidence.push(...(await readAndFlushAll(site.redis().client, await readPlaces(site.sql))))
    await role.start()
  },
  mayLose: true,
}

type Store = { relay: Step["relay"]; of(site: Site): Breakable }
const redis: Store = { relay: "toRedis", of: (site) => site.redis() }
const postgres: Store = { relay: "toPostgres", of: (site) => site.postgres }

/** The steps come in turn, each in both moments. `store`: it is killed, instead of who takes the step. */
function killed(name: string, work: Work, store: Store | null = null): Fault {
  const steps = work.steps.filter(({ relay }) => store === null || relay === store.relay)
  const ways = steps.flatMap((step) => MOMENTS.map((moment) => ({ step, moment })))
  let turn: number | null = null
  return {
    name: `kill -9 of ${name} at a step of ${work.name}`,
    ways: ways.length,
    outageMs: [0, 200],
    ...(work.mayLose === true && { mayLose: true as const }),
    async strike(at) {
      turn = turn === null ? at.chance.between(0, ways.length - 1) : (turn + 1) % ways.length
      const way = ways[turn]
      if (way === undefined) throw new RangeError("there are no steps")
      const role = work.actor(at)
      const victim = store === null ? role : store.of(at.site)
      return await killAt(at, { ...way, role, victim, provoke: work.provoke })
    },
  }
}

type Killing = {
  step: Step
  moment: Moment
  role: Role
  victim: Breakable
  provoke: Work["provoke"]
}

async function killAt(at: Scene, { step, moment, role, victim, provoke }: Killing): Promise<Heal> {
  const { openings } = await readOpening(at.site.sql)
  const text = isScript(step.text) ? scriptHashes(Math.max(...openings))[step.text] : step.text
  const dead = Promise.withResolvers<"dead">()
  let isAwaited = true
  role[step.relay].interrupt(text, moment, () => {
    if (isAwaited) void victim.kill().then(() => dead.resolve("dead"))
  })
  await provoke?.(at, role, step)
  const isHit = (await Promise.race([dead.promise, Bun.sleep(HIT_MS_MAX)])) === "dead"
  isAwaited = false
  const when = moment === "request" ? "before" : "after"
  at.note(`${when} ${step.name}${isHit ? "" : ": not reached"}`)
  if (!isHit) await victim.kill()
  return victim.start
}

const SCRIPTS: ReadonlySet<string> = new Set(SCRIPT_NAMES)

function isScript(text: string): text is ScriptName {
  return SCRIPTS.has(text)
}

export const STEP_FAULTS: readonly Fault[] = [
  ...[
    killed("the flusher", flush),
    killed("Redis", flush, redis),
    killed("Postgres", flush, postgres),
  ],
  ...[killed("a gateway", batch), killed("Redis", batch, redis)],
  killed("the keeper", recovery),
  ...[killed("Redis", recovery, redis), killed("Postgres", recovery, postgres)],
]
