import { noteAccepted } from "../books.ts"
import { merge, type Percentiles, percentilesOf } from "../generator/histogram.ts"
import { type JobOutcome, runJob } from "../generator/job.ts"
import { drained } from "../lag.ts"
import { CHARGE_BODY } from "../load.ts"
import type { Bench, Section } from "../section.ts"
import { percentileCurve } from "../svg/percentile-curve.ts"
import { type Row, table, whole } from "../table.ts"
import { atMost, median } from "../target.ts"

type Name = "unbilled" | "charge"
type Round = Record<Name, JobOutcome>

const PATHS: Record<Name, string> = { unbilled: "/bench/unbilled", charge: "/v1/charges" }
const SHARE_OF_SATURATION = 0.6
/** More than are ever busy: a call waits for the gateway, and not for a connection. */
const OPEN_LOOP_CONNECTIONS = 256
const TIMEOUT_MS = 5_000
const WARM_UP_SECONDS = 2
const ADDED_P99_MS_MAX = 5

/**
 * How much later a charge is answered than an unbilled call, at the same steady rate: 60 % of what
 * one gateway and its stores can take. A generator in a process of its own makes call n when it is
 * due, and its latency counts from then.
 */
export async function runLatency(bench: Bench): Promise<Section> {
  const { options, terminal } = bench
  const { seconds, rounds, connections } = options
  const warmUp = Math.min(seconds, WARM_UP_SECONDS)
  for (const name of ["unbilled", "charge"] as const) {
    await runOne(bench, name, { connections, seconds: warmUp, callsPerSecond: null })
  }
  const saturated = await runOne(bench, "charge", { connections, seconds, callsPerSecond: null })
  const callsPerSecond = Math.floor(saturated.callsPerSecond * SHARE_OF_SATURATION)
  terminal.say(`saturation: ${whole(saturated.callsPerSecond)} charges/s`)
  const load = { connections: OPEN_LOOP_CONNECTIONS, seconds, callsPerSecond }
  const all: Round[] = []
  for (let n = 1; n <= rounds; n++) {
    const unbilled = await runOne(bench, "unbilled", load)
    const charge = await runOne(bench, "charge", load)
    all.push({ unbilled, charge })
    const described = [unbilled, charge].map(({ latency }) => inMs(percentilesOf(latency)))
    terminal.say(`${n}/${rounds} open loop  unbilled ${described[0]} ms  charge ${described[1]} ms`)
  }
  return describe(all, { callsPerSecond, saturation: saturated.callsPerSecond })
}

async function runOne(
  { system, accounts, proof, terminal }: Bench,
  name: Name,
  load: { connections: number; seconds: number; callsPerSecond: number | null },
): Promise<JobOutcome> {
  const [gateway] = system.gateways
  if (gateway === undefined) throw new Error("there is no gateway")
  const progress = { calls: 0, refused: 0, lost: 0 }
  const timer = setInterval(() => terminal.live(`${name}: ${progress.calls} calls`), 500)
  const calls = accounts.map(({ key }) => ({ path: PATHS[name], key, body: CHARGE_BODY }))
  const job = { ...load, urls: [gateway.url], calls, batchItems: null, timeoutMs: TIMEOUT_MS }
  const outcome = await runJob(job, progress).finally(() => clearInterval(timer))
  if (outcome.lost > 0) throw new Error(`${name}: ${outcome.lost} calls had no answer`)
  if (name === "charge") {
    noteAccepted(
      proof,
      accounts.map(({ id }, place) => [id, outcome.accepted[place] ?? 0]),
    )
    await drained(system.redis)
  }
  return outcome
}

type Rate = { callsPerSecond: number; saturation: number }

function describe(rounds: readonly Round[], rate: Rate): Section {
  const unbilled = rounds.map((round) => percentilesOf(round.unbilled.latency))
  const charge = rounds.map((round) => percentilesOf(round.charge.latency))
  const late = rounds.map((round) => percentilesOf(round.charge.lateness))
  const added = rounds.map((round) => addedBy(round))
  const atRate = `${whole(rate.callsPerSecond)} calls/s`
  return {
    title: "Latency at a steady rate",
    lines: [
      `Open loop, ${atRate}: 60 % of the ${whole(rate.saturation)} charges/s that one gateway takes here, with its`,
      "stores and a generator on the same cores. In ms, counted from when a call was due.",
      "",
      ...table(
        ["", "p50", "p90", "p99", "p99.9"],
        [
          row("unbilled", unbilled),
          row("charge", charge),
          row("added by billing", added),
          row("charges were sent late by", late),
        ],
      ),
      "",
      `Not answered 200, in all rounds: ${refused(rounds, "unbilled")} unbilled calls, ` +
        `${refused(rounds, "charge")} charges.`,
    ],
    targets: [
      atMost(
        "latency added by billing at 60 % of saturation, p99, ms",
        added.map(({ p99 }) => p99),
        ADDED_P99_MS_MAX,
      ),
    ],
    pictures: [
      percentileCurve({
        file: "latency.svg",
        title: "Latency at 60 % of saturation",
        note: `ms by percentile, open loop, ${atRate}, counted from when a call was due`,
        series: [
          { name: "unbilled call", latency: merge(rounds.map((round) => round.unbilled.latency)) },
          { name: "charge", latency: merge(rounds.map((round) => round.charge.latency)) },
        ],
      }),
    ],
  }
}

function addedBy({ unbilled, charge }: Round): Percentiles {
  const [less, more] = [percentilesOf(unbilled.latency), percentilesOf(charge.latency)]
  return {
    p50: more.p50 - less.p50,
    p90: more.p90 - less.p90,
    p99: more.p99 - less.p99,
    p999: more.p999 - less.p999,
  }
}

function row(title: string, rounds: readonly Percentiles[]): Row {
  const at = (key: keyof Percentiles) => median(rounds.map((each) => each[key])).toFixed(2)
  return [title, at("p50"), at("p90"), at("p99"), at("p999")]
}

function refused(rounds: readonly Round[], name: Name): number {
  return rounds.reduce((sum, { [name]: { unsent, answers, statuses } }) => {
    const accepted = statuses.find(([status]) => status === 200)?.[1] ?? 0
    return sum + unsent + answers - accepted
  }, 0)
}

function inMs({ p50, p99, p999 }: Percentiles): string {
  return [p50, p99, p999].map((ms) => ms.toFixed(1)).join(" / ")
}
