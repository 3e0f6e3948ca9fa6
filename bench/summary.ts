import type { Lag } from "./lag.ts"
import type { Percentiles } from "./load.ts"
import type { Histogram } from "./metrics.ts"
import type { Pair } from "./pairs.ts"
import { byPart, type Round } from "./rounds.ts"
import type { Measured, ScenarioName } from "./scenarios.ts"
import type { Part } from "./system.ts"

/** A scenario as the median of its rounds; lags are the worst of them. */
export type Summary = {
  callsPerSecond: number
  latencyMs: Percentiles
  cpuMicros: Record<Part, number>
  generatorMicros: number
  generatorShare: number
  foreignShareMax: number
  /** Charges in one script call; null where no script ran. */
  batchItems: number | null
  /** Shares of calls decided within a bound, by the gateway's own clock. */
  decidedWithin: readonly { boundMs: number; share: number }[]
  lagMax: Lag
  drainMsMax: number
  /** In all rounds: answers with another status, such as 503. */
  unexpected: number
}

export type Target = { text: string; value: number; isMet: boolean; bound: string }

const GATEWAY_RATIO_MAX = 1.35
const REDIS_MICROS_MAX = 12

export function summarise(rounds: readonly Round[]): Summary {
  const middle = (read: (round: Round) => number) => median(rounds.map(read))
  const worst = (read: (round: Round) => number) => Math.max(...rounds.map(read))
  const scripts = rounds.reduce((sum, { batchItems }) => sum + batchItems.count, 0)
  return {
    callsPerSecond: middle((round) => round.callsPerSecond),
    latencyMs: {
      p50: middle(({ latencyMs }) => latencyMs.p50),
      p90: middle(({ latencyMs }) => latencyMs.p90),
      p99: middle(({ latencyMs }) => latencyMs.p99),
      p999: middle(({ latencyMs }) => latencyMs.p999),
    },
    cpuMicros: byPart((part) => middle(({ cpuMicros }) => cpuMicros[part])),
    generatorMicros: middle((round) => round.generatorMicros),
    generatorShare: middle((round) => round.generatorShare),
    foreignShareMax: worst((round) => round.foreignShare),
    batchItems: scripts === 0 ? null : middle(({ batchItems: { sum, count } }) => sum / count),
    decidedWithin: cumulate(rounds.map((round) => round.chargeSeconds)),
    lagMax: { records: worst((r) => r.lagMax.records), seconds: worst((r) => r.lagMax.seconds) },
    drainMsMax: worst((round) => round.drainMs),
    unexpected: rounds.reduce((sum, round) => sum + round.unexpected, 0),
  }
}

/** What the design promises of costs. A target that is missed is shown like one that is met. */
export function judge(
  { rounds }: Measured,
  pairs: readonly Pair[],
): { targets: Target[]; hotToMany: number } {
  const oneByOne = rounds.charge.map(
    ({ cpuMicros }, i) => cpuMicros.gateway / (rounds.unbilled[i]?.cpuMicros.gateway ?? Number.NaN),
  )
  const sideBySide = pairs.map(({ unbilled, charge }) => charge.micros / unbilled.micros)
  const redis = rounds.charge.map(({ cpuMicros }) => cpuMicros.redis)
  const rate = (name: ScenarioName) => median(rounds[name].map((round) => round.callsPerSecond))
  const rateOf = (side: keyof Pair) =>
    Math.round(median(pairs.map((pair) => pair[side].callsPerSecond)))
  const rates = `${rateOf("charge")} charges/s beside ${rateOf("unbilled")} unbilled/s`
  const gateway = "gateway CPU, charge / unbilled"
  return {
    targets: [
      target(`${gateway}, one after the other at full speed`, oneByOne, GATEWAY_RATIO_MAX),
      target(`${gateway}, side by side (${rates})`, sideBySide, GATEWAY_RATIO_MAX),
      target("Redis CPU of a charge, µs", redis, REDIS_MICROS_MAX),
    ],
    hotToMany: rate("hot") / rate("charge"),
  }
}

function target(text: string, values: readonly number[], max: number): Target {
  const value = median(values)
  return { text, value, bound: `≤ ${max}`, isMet: value <= max }
}

function cumulate(histograms: readonly Histogram[]): Summary["decidedWithin"] {
  const total = histograms.reduce((sum, { count }) => sum + count, 0)
  if (total === 0) return []
  const bounds = [...(histograms[0]?.buckets.keys() ?? [])].filter((bound) => bound !== "+Inf")
  return bounds.map((bound) => ({
    boundMs: Number(bound) * 1_000,
    share: histograms.reduce((sum, { buckets }) => sum + (buckets.get(bound) ?? 0), 0) / total,
  }))
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}
