import type { Options } from "./options.ts"
import { type Round, runRound, type Scenario } from "./rounds.ts"
import { type Account, seedAccounts, seeded } from "./seed.ts"
import type { System } from "./system.ts"
import type { Terminal } from "./terminal.ts"

export const SCENARIO_NAMES = ["unbilled", "charge", "hot", "refused"] as const
export type ScenarioName = (typeof SCENARIO_NAMES)[number]

/** What each is, for those who read the table. */
export const SCENARIO_TITLES: Record<ScenarioName, string> = {
  unbilled: "the same HTTP call, answered without billing",
  charge: "charges, each on another account than the one before",
  hot: "charges on one account",
  refused: "charges on accounts whose balance is 0",
}

export type Measured = {
  rounds: Record<ScenarioName, Round[]>
  /** Every load that was run, the discarded ones too: the books have them all. */
  loads: Round["load"][]
  accounts: Account[]
}

const CREDIT_FEN = 1_000_000
/** The one account pays for all calls of its rounds. */
const HOT_CREDIT_FEN = 100_000_000
const WARM_UP_SECONDS = 2
const UNEXPECTED_SHARE_MAX = 0.05

export async function makeScenarios(
  system: System,
  { accounts: count, connections }: Options,
): Promise<Record<ScenarioName, Scenario>> {
  const { sql } = system
  const many = await seedAccounts(sql, { count, creditFen: CREDIT_FEN })
  const hot = await seedAccounts(sql, { count: 1, creditFen: HOT_CREDIT_FEN })
  const poor = await seedAccounts(sql, { count: connections, creditFen: 0 })
  await seeded(system)
  const paths = { charge: "/v1/charges", unbilled: "/bench/unbilled" }
  return {
    unbilled: { name: "unbilled", path: paths.unbilled, accounts: many, expects: 200 },
    charge: { name: "charge", path: paths.charge, accounts: many, expects: 200 },
    hot: { name: "hot", path: paths.charge, accounts: hot, expects: 200 },
    refused: { name: "refused", path: paths.charge, accounts: poor, expects: 402 },
  }
}

/**
 * Runs the scenarios in turn, several times, so that a machine that is slower for a while is slower
 * for all of them; each call of unbilled has its charge beside it.
 */
export async function runScenarios(
  scenarios: Record<ScenarioName, Scenario>,
  { system, options, terminal }: { system: System; options: Options; terminal: Terminal },
): Promise<Measured> {
  const { connections, seconds, rounds } = options
  const measured: Measured = {
    rounds: { unbilled: [], charge: [], hot: [], refused: [] },
    loads: [],
    accounts: SCENARIO_NAMES.flatMap((name) =>
      name === "unbilled" ? [] : scenarios[name].accounts,
    ),
  }
  const run = async (name: ScenarioName, duration: number): Promise<Round> => {
    const settings = { system, connections, seconds: duration, terminal }
    const round = await runRound(scenarios[name], settings)
    requireAnswers(scenarios[name], round)
    if (name !== "unbilled") measured.loads.push(round.load)
    return round
  }
  // The first seconds compile the code that is measured afterwards.
  for (const name of ["unbilled", "charge"] as const) {
    await run(name, Math.min(seconds, WARM_UP_SECONDS))
  }
  for (let n = 1; n <= rounds; n++) {
    for (const name of SCENARIO_NAMES) {
      const round = await run(name, seconds)
      measured.rounds[name].push(round)
      terminal.say(describeRound(`${n}/${rounds} ${name}`, round))
    }
  }
  return measured
}

/**
 * A call without an answer may have been charged: then nothing can be proven. Some answers of 503 on
 * a busy machine are part of the result and shown in it; many of them are another scenario.
 */
function requireAnswers({ name, expects }: Scenario, { load, unexpected }: Round): void {
  if (load.lost > 0) throw new Error(`${name}: ${load.lost} calls had no answer`)
  if (unexpected <= load.calls * UNEXPECTED_SHARE_MAX) return
  const counts = [...load.statuses].map(([status, count]) => `${count} times ${status}`).join(", ")
  throw new Error(`${name}: the answers should be ${expects}, and were ${counts}`)
}

function describeRound(title: string, round: Round): string {
  const { callsPerSecond, cpuMicros, lagMax, drainMs, foreignShare } = round
  return [
    title.padEnd(14),
    `${Math.round(callsPerSecond)} calls/s`,
    `gateway ${cpuMicros.gateway.toFixed(1)} µs`,
    `Redis ${cpuMicros.redis.toFixed(1)} µs`,
    `lag ${lagMax.records} records ${lagMax.seconds.toFixed(1)} s`,
    `drained in ${Math.round(drainMs)} ms`,
    `other programs ${Math.round(foreignShare * 100)} %`,
  ].join("  ")
}
