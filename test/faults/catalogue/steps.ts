import { readOpening } from "../../../db/queries/read-opening.ts"
import { SCRIPT_NAMES, type ScriptName, scriptHashes } from "../../../src/ledger/scripts.ts"
import type { Fault, Heal, Scene } from "../fault.ts"
import { readAndFlushAll, readPlaces } from "../loss.ts"
import type { Role } from "../site.ts"

/**
 * Processes that are killed at a named step of what they do: when they have asked for it, and it has not
 * happened; or when it has, and they have not heard of it.
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
  { name: "loading scripts", text: "-- opening ", relay: "toRedis" },
  { name: "opening", text: "open_partition:", relay: "toRedis" },
  { name: "marking it open", text: "set is_open = true", relay: "toPostgres" },
]
const MOMENTS: readonly Moment[] = ["request", "reply"]
const HIT_MS_MAX = 6_000

const flusherSteps: Fault = {
  name: "kill -9 of the flusher at a step of a flush",
  async strike(at) {
    return await killAt(at, { role: at.site.flusher, steps: FLUSHER_STEPS })
  },
}

const gatewaySteps: Fault = {
  name: "kill -9 of a gateway at a step of a batch",
  async strike(at) {
    const role = at.chance.pick(at.site.gateways)
    return await killAt(at, {
      role,
      steps: GATEWAY_STEPS,
      async provoke({ text }) {
        // Beyond their deadline, batches are revoked.
        if (text === "revoke") role.toRedis.holdReplies()
        // A process that starts opens its slots.
        if (text === "openSlot") {
          await role.kill()
          await role.start()
        }
      },
    })
  },
}

/** A new process each time: on a connection that is new, a statement passes as its text. */
const recoverySteps: Fault = {
  name: "kill -9 of the keeper at a step of a recovery",
  mayLose: true,
  outageMs: [0, 200],
  async strike(at) {
    const { site, evidence } = at
    const role = site.keeper
    await role.kill()
    return await killAt(at, {
      role,
      steps: RECOVERY_STEPS,
      async provoke() {
        evidence.push(...(await readAndFlushAll(site.redis().client, await readPlaces(site.sql))))
        await role.start()
      },
    })
  },
}

type Killing = { role: Role; steps: readonly Step[]; provoke?(step: Step): Promise<void> }

async function killAt(
  { site, chance, note }: Scene,
  { role, steps, provoke }: Killing,
): Promise<Heal> {
  const [step, moment] = [chance.pick(steps), chance.pick(MOMENTS)]
  const { openings } = await readOpening(site.sql)
  const text = isScript(step.text) ? scriptHashes(Math.max(...openings))[step.text] : step.text
  const killed = Promise.withResolvers<"killed">()
  role[step.relay].interrupt(text, moment, () => {
    void role.kill().then(() => killed.resolve("killed"))
  })
  await provoke?.(step)
  const isHit = (await Promise.race([killed.promise, Bun.sleep(HIT_MS_MAX)])) === "killed"
  const when = moment === "request" ? "before" : "after"
  note(`${when} ${step.name}${isHit ? "" : ": not reached"}`)
  if (!isHit) await role.kill()
  return role.start
}

const SCRIPTS: ReadonlySet<string> = new Set(SCRIPT_NAMES)

function isScript(text: string): text is ScriptName {
  return SCRIPTS.has(text)
}

export const STEP_FAULTS: readonly Fault[] = [flusherSteps, gatewaySteps, recoverySteps]
