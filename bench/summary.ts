import type { Percentiles } from "./generator/histogram.ts"
import type { Lag } from "./lag.ts"
import type { Histogram } from "./metrics.ts"
import type { Round } from "./rounds.ts"
import { median } from "./target.ts"
import { mapValues } from "./usage.ts"

/** A scenario as the median of its rounds; lags are the worst of them. */
export type Summary = {
  callsPerSecond: number
  latencyMs: Percentiles
  cpuMicros: Readonly<Record<string, number>>
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
    cpuMicros: mapValues(rounds[0]?.cpuMicros ?? {}, (_, part) =>
      middle(({ cpuMicros }) => cpuMicros[part] ?? Number.NaN),
    ),
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

function cumulate(histograms: readonly Histogram[]): Summary["decidedWithin"] {
  const total = histograms.reduce((sum, { count }) => sum + count, 0)
  if (total === 0) return []
  const bounds = [...(histograms[0]?.buckets.keys() ?? [])].filter((bound) => bound !== "+Inf")
  return bounds.map((bound) => ({
    boundMs: Number(bound) * 1_000,
    share: histograms.reduce((sum, { buckets }) => sum + (buckets.get(bound) ?? 0), 0) / total,
  }))
}
