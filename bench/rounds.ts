import type { Percentiles } from "./generator/histogram.ts"
import { drained, type Lag, readLag } from "./lag.ts"
import { type Load, type Progress, runLoad } from "./load.ts"
import { difference, type Histogram, readFigures } from "./metrics.ts"
import type { Account } from "./seed.ts"
import type { System } from "./system.ts"
import type { Terminal } from "./terminal.ts"
import { mapValues, startUsage } from "./usage.ts"

export type Scenario = {
  name: string
  path: string
  accounts: readonly Account[]
  /** The status that every answer must have. */
  expects: number
}

/** One load of one scenario, and what it cost from its first call to the last flushed record. */
export type Round = {
  callsPerSecond: number
  latencyMs: Percentiles
  cpuMicros: Readonly<Record<string, number>>
  generatorMicros: number
  /** Of one core, while it ran. */
  generatorShare: number
  /** Of one core, what ran meanwhile and is no part of this: it makes every call dearer. */
  foreignShare: number
  batchItems: Histogram
  chargeSeconds: Histogram
  lagMax: Lag
  drainMs: number
  /** Answers with another status than the scenario's. */
  unexpected: number
  load: Load
}

const LAG_POLL_MS = 250

type RoundOptions = { system: System; connections: number; seconds: number; terminal: Terminal }

/**
 * Loads the system, and waits until Postgres has every record, so that the work of a round is in
 * its own figures and in those of no other.
 */
export async function runRound(
  { name, path, accounts, expects }: Scenario,
  { system, connections, seconds, terminal }: RoundOptions,
): Promise<Round> {
  const urls = system.gateways.map(({ url }) => url)
  const progress: Progress = { calls: 0, refused: 0, lost: 0 }
  // The figures are read outside of what is measured: writing them costs a gateway milliseconds.
  const figures = await readFigures(urls)
  const usage = startUsage(system.pids())
  const watch = watchLag(system, { name, progress, terminal })
  const load = await runLoad({ urls, path, accounts, connections, until: { seconds }, progress })
  const loaded = usage()
  const drainMs = await drained(system.redis)
  const all = usage()
  const lagMax = await watch.stop()
  const figuresAfter = await readFigures(urls)
  return {
    callsPerSecond: load.callsPerSecond,
    latencyMs: load.latencyMs,
    cpuMicros: mapValues(all.partMs, (ms) => (ms * 1_000) / load.calls),
    generatorMicros: (loaded.generatorMs * 1_000) / load.calls,
    generatorShare: loaded.generatorMs / loaded.ms,
    foreignShare: all.foreignMs / all.ms,
    batchItems: difference(figuresAfter.batchItems, figures.batchItems),
    chargeSeconds: difference(figuresAfter.chargeSeconds, figures.chargeSeconds),
    lagMax,
    drainMs,
    unexpected: load.calls - (load.statuses.get(expects) ?? 0),
    load,
  }
}

/** Keeps the highest lag, and the line on the terminal. */
export function watchLag(
  { redis }: System,
  { name, progress, terminal }: { name: string; progress: Progress; terminal: Terminal },
): { stop(): Promise<Lag> } {
  const max: Lag = { records: 0, seconds: 0 }
  let isStopping = false
  const running = run()
  // Told by `stop`; an interrupted run has closed the connection and never asks.
  running.catch(() => undefined)
  return { stop }

  async function run(): Promise<void> {
    let seen = { calls: 0, at: performance.now() }
    while (!isStopping) {
      await Bun.sleep(LAG_POLL_MS)
      const lag = await readLag(redis)
      max.records = Math.max(max.records, lag.records)
      max.seconds = Math.max(max.seconds, lag.seconds)
      const now = { calls: progress.calls, at: performance.now() }
      const rate = ((now.calls - seen.calls) * 1_000) / (now.at - seen.at)
      seen = now
      terminal.live(
        `${name}: ${Math.round(rate)} calls/s, ${progress.refused} refused, ` +
          `${progress.lost} lost, lag ${lag.records} records ${lag.seconds.toFixed(1)} s`,
      )
    }
  }

  async function stop(): Promise<Lag> {
    isStopping = true
    await running
    return max
  }
}
