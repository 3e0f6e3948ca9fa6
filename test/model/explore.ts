import fc from "fast-check"
import { auditBooks } from "../../src/reconcile/audit.ts"
import { type Scenario, type Shape, scenario } from "./operations.ts"
import { type System, startModelSystem } from "./system.ts"
import { createTally, type Tally } from "./tally.ts"
import { runScenario } from "./world.ts"

export type Exploration = {
  operations: number
  seed: number
  shape: Shape
  onProgress?(tally: Tally): void
}

/** Scenarios of one call of fast-check: each has a seed of its own, by which it can begin anew. */
const ROUND = 4
/** After so many a system is left, so that its stores stay small. */
const OPERATIONS_PER_SYSTEM = 60_000
/** So long a smaller scenario is looked for, once one has failed. */
const SHRINK_MS = 240_000
/** A system that is sound is so by then. */
const SOUND_MS = 3_000
/** These are expected of no fault. */
const ALARMS = /ALARM.*(drift|halted|cannot be applied|is missing|Redis has lost)/

/**
 * Runs scenarios until so many operations were asked. Rejects with the smallest scenario that the model
 * cannot explain, and the seed by which it is found again.
 */
export async function explore({
  operations,
  seed,
  shape,
  onProgress,
}: Exploration): Promise<Tally> {
  const tally = createTally()
  let system: System | null = null
  let leftAt = 0
  let round = seed
  let failedAt: number | null = null
  const property = fc.asyncProperty(scenario(shape), (scenario) => tryOnce(scenario))
  try {
    for (; tally.operations() < operations; round++) {
      await fc.assert(property, { seed: round, numRuns: ROUND, asyncReporter: report })
      onProgress?.(tally)
      if (tally.operations() - leftAt >= OPERATIONS_PER_SYSTEM) await leave()
    }
  } finally {
    await leave()
  }
  return tally

  async function tryOnce(scenario: Scenario): Promise<void> {
    if (failedAt !== null && performance.now() - failedAt > SHRINK_MS) return
    system ??= await startModelSystem()
    try {
      await runScenario(system, scenario, tally)
      requireQuiet(system)
    } catch (error) {
      if (failedAt === null)
        console.log(`SEED=${round} fails, and is made smaller: ${String(error)}`)
      failedAt ??= performance.now()
      // What it has become may be the cause of the next failure: that begins anew.
      if (!(await isSound(system))) await leave()
      throw error
    }
  }

  async function leave(): Promise<void> {
    const left = system
    system = null
    leftAt = tally.operations()
    await left?.stop()
  }

  async function report({
    failed,
    numShrinks,
    counterexample,
    errorInstance,
  }: Ending): Promise<void> {
    if (!failed) return
    const steps = (counterexample?.[0].steps ?? []).map(
      ({ operations: { length }, fault }, i) =>
        `step ${i + 1}: ${length} operations, ${fault === null ? "no fault" : JSON.stringify(fault)}`,
    )
    const cause = errorInstance instanceof Error ? errorInstance.message : String(errorInstance)
    throw new Error(
      [`SEED=${round} finds it again; shrunk ${numShrinks} times to`, ...steps, cause].join("\n"),
    )
  }
}

/** Nothing but the accounts that have failed shows that they did. */
async function isSound(system: System): Promise<boolean> {
  try {
    await system.recovered(SOUND_MS)
    await system.flushed(SOUND_MS)
    requireQuiet(system)
    const { sql, nodes: redis, partitions } = system
    return (await auditBooks({ sql, redis, partitions })).findings.length === 0
  } catch {
    return false
  }
}

function requireQuiet({ log }: System): void {
  const alarms = log.filter((line) => ALARMS.test(line))
  if (alarms.length > 0) throw new Error(`alarms:\n${alarms.join("\n")}`)
}

type Ending = fc.RunDetails<[Scenario]>

/** From the environment, or new. */
export function seedOf(given = process.env.SEED): number {
  return Number(given ?? Math.floor(Math.random() * 2 ** 31))
}
