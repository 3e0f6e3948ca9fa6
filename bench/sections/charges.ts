import { noteAccepted } from "../books.ts"
import { type Round, runRound, type Scenario } from "../rounds.ts"
import type { Bench, Section } from "../section.ts"
import { seedAccounts, seeded } from "../seed.ts"
import { type Summary, summarise } from "../summary.ts"
import { PART_NAMES, PARTS } from "../system.ts"
import { percent, type Row, table, whole } from "../table.ts"
import { atLeast, atMost } from "../target.ts"

const NAMES = ["unbilled", "charge", "hot", "refused"] as const
type Name = (typeof NAMES)[number]
type Rounds = Record<Name, Round[]>

/** What each is, for those who read the table. */
const TITLES: Record<Name, string> = {
  unbilled: "the same HTTP call, answered without billing",
  charge: "charges, each on another account than the one before",
  hot: "charges on one account",
  refused: "charges on accounts whose balance is 0",
}

/** The one account pays for all calls of its rounds. */
const HOT_CREDIT_FEN = 100_000_000
const WARM_UP_SECONDS = 2
const UNEXPECTED_SHARE_MAX = 0.05
const GATEWAY_RATIO_MAX = 1.2
const REDIS_MICROS_MAX = 12
const HOT_RATIO_MIN = 0.95

/**
 * Runs the scenarios in turn, several times, so that a machine that is slower for a while is slower
 * for all of them; each round of unbilled calls has its round of charges beside it.
 */
export async function runCharges(bench: Bench): Promise<Section> {
  const { options, terminal } = bench
  const scenarios = await makeScenarios(bench)
  const rounds: Rounds = { unbilled: [], charge: [], hot: [], refused: [] }
  // The first seconds compile the code that is measured afterwards.
  for (const name of ["unbilled", "charge"] as const) {
    await runOne(bench, scenarios[name], Math.min(options.seconds, WARM_UP_SECONDS))
  }
  for (let n = 1; n <= options.rounds; n++) {
    for (const name of NAMES) {
      const round = await runOne(bench, scenarios[name], options.seconds)
      rounds[name].push(round)
      terminal.say(describeRound(`${n}/${options.rounds} ${name}`, round))
    }
  }
  return describe(rounds)
}

async function makeScenarios({
  system,
  accounts: many,
  options,
  proof,
}: Bench): Promise<Record<Name, Scenario>> {
  const { sql } = system
  const hot = await seedAccounts(sql, { count: 1, creditFen: HOT_CREDIT_FEN })
  const poor = await seedAccounts(sql, { count: options.connections, creditFen: 0 })
  proof.accounts.push(...hot, ...poor)
  await seeded(system)
  const paths = { charge: "/v1/charges", unbilled: "/bench/unbilled" }
  return {
    unbilled: { name: "unbilled", path: paths.unbilled, accounts: many, expects: 200 },
    charge: { name: "charge", path: paths.charge, accounts: many, expects: 200 },
    hot: { name: "hot", path: paths.charge, accounts: hot, expects: 200 },
    refused: { name: "refused", path: paths.charge, accounts: poor, expects: 402 },
  }
}

async function runOne(bench: Bench, scenario: Scenario, seconds: number): Promise<Round> {
  const { system, options, terminal, proof } = bench
  const { connections } = options
  const round = await runRound(scenario, { system, connections, seconds, terminal })
  requireAnswers(scenario, round)
  if (scenario.name !== "unbilled") noteAccepted(proof, round.load.accepted)
  return round
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
    `gateway ${cpuMicros.gateway?.toFixed(1)} µs`,
    `Redis ${cpuMicros.redis?.toFixed(1)} µs`,
    `lag ${lagMax.records} records ${lagMax.seconds.toFixed(1)} s`,
    `drained in ${Math.round(drainMs)} ms`,
    `other programs ${percent(foreignShare)}`,
  ].join("  ")
}

function describe(rounds: Rounds): Section {
  const summaries = NAMES.map((name) => summarise(rounds[name]))
  const ratios = rounds.charge.map(
    ({ cpuMicros }, i) =>
      (cpuMicros.gateway ?? Number.NaN) / (rounds.unbilled[i]?.cpuMicros.gateway ?? Number.NaN),
  )
  const redis = rounds.charge.map(({ cpuMicros }) => cpuMicros.redis ?? Number.NaN)
  const hot = rounds.hot.map(
    ({ callsPerSecond }, i) => callsPerSecond / (rounds.charge[i]?.callsPerSecond ?? Number.NaN),
  )
  return {
    title: "Charges, each at full speed",
    lines: [
      ...NAMES.map((name) => `- **${name}**: ${TITLES[name]}`),
      "",
      ...table(
        ["", ...NAMES],
        [...speedRows(summaries), ...costRows(summaries), ...flushRows(summaries)],
      ),
    ],
    targets: [
      atMost(
        "gateway CPU, charge / unbilled, one after the other at full speed",
        ratios,
        GATEWAY_RATIO_MAX,
      ),
      atMost("Redis CPU of a charge, µs", redis, REDIS_MICROS_MAX),
      atLeast("charges/s, one hot account / 1,000 accounts", hot, HOT_RATIO_MIN),
    ],
  }
}

function speedRows(summaries: readonly Summary[]): Row[] {
  const row = (title: string, read: (summary: Summary) => string): Row => [
    title,
    ...summaries.map(read),
  ]
  return [
    row("calls/s", (each) => whole(each.callsPerSecond)),
    row("latency ms p50 / p90 / p99 / p99.9", ({ latencyMs: { p50, p90, p99, p999 } }) =>
      [p50, p90, p99, p999].map(Math.round).join(" / "),
    ),
    row("decided within 1 / 2 / 5 / 10 / 25 ms", ({ decidedWithin }) =>
      decidedWithin.length === 0
        ? "–"
        : decidedWithin
            .filter(({ boundMs }) => [1, 2, 5, 10, 25].includes(boundMs))
            .map(({ share }) => percent(share, 1))
            .join(" / "),
    ),
    row("answers of another status", ({ unexpected }) => String(unexpected)),
    row("batch, items", ({ batchItems }) => (batchItems === null ? "–" : batchItems.toFixed(1))),
  ]
}

function costRows(summaries: readonly Summary[]): Row[] {
  return [
    ...PARTS.map(
      (part): Row => [
        `CPU µs/call: ${PART_NAMES[part]}`,
        ...summaries.map(({ cpuMicros }) => cpuMicros[part]?.toFixed(1) ?? "–"),
      ],
    ),
    ["CPU µs/call: generator", ...summaries.map((each) => each.generatorMicros.toFixed(1))],
    ["generator, share of a core", ...summaries.map((each) => percent(each.generatorShare))],
    ["other programs, worst round", ...summaries.map((each) => percent(each.foreignShareMax))],
  ]
}

function flushRows(summaries: readonly Summary[]): Row[] {
  return [
    ["flush lag, most records", ...summaries.map(({ lagMax }) => String(lagMax.records))],
    ["flush lag, most seconds", ...summaries.map(({ lagMax }) => lagMax.seconds.toFixed(2))],
    ["lag 0 after load, ms", ...summaries.map((each) => String(Math.round(each.drainMsMax)))],
  ]
}
