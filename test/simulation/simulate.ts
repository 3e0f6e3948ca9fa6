import { newAccountId, randomChars } from "../../src/ids.ts"
import { audit, findUnquiet, lostEntries } from "./audit.ts"
import { createCallers } from "./callers.ts"
import { heal, planFaults } from "./faults.ts"
import { seedIds } from "./globals.ts"
import { describeFault, drawPlan } from "./plan.ts"
import { createRandom } from "./random.ts"
import { type Counts, NO_COUNTS } from "./totals.ts"
import { createWorld, type World } from "./world.ts"

export type Result = {
  seed: number
  counts: Counts
  failures: readonly string[]
  faults: readonly string[]
  trace: readonly string[]
  events: number
  virtualMs: number
}

const OPEN_MS_MAX = 20_000
/** A frozen keeper, a deadline of a flush and a hold's time may follow each other. */
const QUIET_MS_MAX = 120_000
const LOOK_MS = 200
const LOOKS = 2
const BALANCE_FEN_MAX = 2_500

/** One world, from its beginning until it is quiet again; then its books. */
export function simulate(seed: number, { isTraced = false } = {}): Result {
  seedIds(seed, () => randomChars(1))
  const plan = drawPlan(createRandom(seed).fork("plan"))
  const world = createWorld(seed, plan, { isTraced })
  const events = { count: 0 }
  const counts = live(world, events, isTraced)
  return {
    ...{ seed, counts, events: events.count, virtualMs: world.scheduler.now() },
    failures: world.failures(),
    faults: plan.faults.map(describeFault),
    trace: world.trace(),
  }
}

function live(world: World, events: { count: number }, isTraced: boolean): Counts {
  const { scheduler, plan, postgres } = world
  const random = world.random("accounts")
  const runUntil = (isOver: () => boolean) => {
    events.count += scheduler.run(isOver)
  }
  if (!waitUntilQuiet(world, OPEN_MS_MAX, runUntil)) return NO_COUNTS
  const accounts = Array.from({ length: plan.accounts }, () => newAccountId())
  for (const accountId of accounts) {
    const amountFen = random.integer(100, BALANCE_FEN_MAX)
    void postgres.run(null, "openAccount", [{ accountId, amountFen }])
  }
  if (!waitUntilQuiet(world, OPEN_MS_MAX, runUntil)) return NO_COUNTS
  const callers = createCallers(world, accounts)
  const endMs = scheduler.now() + plan.activeMs
  world.note(`begins: ${JSON.stringify(plan)}`)
  world.setStormy(true)
  planFaults(world)
  callers.start(() => scheduler.now() >= endMs)
  runUntil(() => scheduler.now() >= endMs || world.failures().length > 0)
  heal(world)
  runUntil(() => callers.log.waiting === 0 || world.failures().length > 0)
  // A gateway that is ready has no batch that waits for its revoke.
  const unready = new Map<string, string>()
  const look = () => {
    for (const gateway of world.gateways) {
      const asking = callers.ask(random, (ledger) => ledger.health(), { gateway, isTimed: false })
      void asking.then((called) => {
        const state = called.status === "answered" ? called.answer.status : called.status
        if (state === "ready") unready.delete(gateway.name)
        else unready.set(gateway.name, state)
      })
    }
    scheduler.after(LOOK_MS, look, null)
  }
  look()
  const findUnready = () => [...unready].map(([name, state]) => `${name} is ${state}`)[0] ?? null
  if (!waitUntilQuiet(world, QUIET_MS_MAX, runUntil, findUnready)) return NO_COUNTS
  const counts = audit(world, callers.log)
  if (isTraced) {
    for (const entry of world.truth.entries) world.note(`written: ${JSON.stringify(entry)}`)
    for (const entry of lostEntries(world)) world.note(`lost: ${JSON.stringify(entry)}`)
  }
  return counts
}

/** Looks now and then, twice in a row: what is on its way must have arrived. */
function waitUntilQuiet(
  world: World,
  mostMs: number,
  runUntil: (isOver: () => boolean) => void,
  findMore: () => string | null = () => null,
): boolean {
  const { scheduler } = world
  const untilMs = scheduler.now() + mostMs
  let looks = 0
  for (;;) {
    const nextMs = scheduler.now() + LOOK_MS
    scheduler.after(LOOK_MS, () => undefined, null)
    runUntil(() => scheduler.now() >= nextMs || world.failures().length > 0)
    if (world.failures().length > 0) return false
    const unquiet = findUnquiet(world) ?? findMore()
    looks = unquiet === null ? looks + 1 : 0
    if (looks === LOOKS) return true
    if (scheduler.now() < untilMs) continue
    world.fail(`it does not come to rest: ${unquiet}`)
    return false
  }
}
