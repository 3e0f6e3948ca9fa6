import { readCpuMs, readOwnCpuMs } from "./cpu.ts"
import { drained, type Lag, readLag } from "./lag.ts"
import { type Load, type Percentiles, type Progress, runLoad } from "./load.ts"
import { difference, type Histogram, readFigures } from "./metrics.ts"
import type { Account } from "./seed.ts"
import { PARTS, type Part, type System } from "./system.ts"
import type { Terminal } from "./terminal.ts"

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
  cpuMicros: Record<Part, number>
  generatorMicros: number
  /** Of one core, while it ran. */
  generatorShare: number
  batchItems: Histogram
  chargeSeconds: Histogram
  lagMax: Lag
  drainMs: number
  load: Load
}

const LAG_POLL_MS = 250

type RoundOptions = { system: System; connections: number; seconds: number; terminal: Terminal }

/**
 * Loads the system, and waits until Postgres has every record, so that the work of a round is in
 * its own figures and in those of no other.
 */
export async function runRound(
  { name, path, accounts }: Scenario,
  { system, connections, seconds, terminal }: RoundOptions,
): Promise<Round> {
  const urls = system.gateways.map(({ url }) => url)
  const progress: Progress = { calls: 0, refused: 0, lost: 0 }
  // The figures are read outside of what is measured: writing them costs a gateway milliseconds.
  const figures = await readFigures(urls)
  const cpu = readParts(system)
  const [ownBefore, startedAt] = [readOwnCpuMs(), performance.now()]
  const watch = watchLag(system, { name, progress, terminal })
  const load = await runLoad({ urls, path, accounts, connections, until: { seconds }, progress })
  const [ownMs, spentMs] = [readOwnCpuMs() - ownBefore, performance.now() - startedAt]
  const drainMs = await drained(system.redis)
  const cpuAfter = readParts(system)
  const lagMax = await watch.stop()
  const figuresAfter = await readFigures(urls)
  const micros = (part: Part) => ((cpuAfter[part] - cpu[part]) * 1_000) / load.calls
  return {
    callsPerSecond: load.callsPerSecond,
    latencyMs: load.latencyMs,
    cpuMicros: byPart(micros),
    generatorMicros: (ownMs * 1_000) / load.calls,
    generatorShare: ownMs / spentMs,
    batchItems: difference(figuresAfter.batchItems, figures.batchItems),
    chargeSeconds: difference(figuresAfter.chargeSeconds, figures.chargeSeconds),
    lagMax,
    drainMs,
    load,
  }
}

export function byPart<Value>(read: (part: Part) => Value): Record<Part, Value> {
  const [gateway, redis, flusher, postgres] = PARTS
  return {
    gateway: read(gateway),
    redis: read(redis),
    flusher: read(flusher),
    postgres: read(postgres),
  }
}

function readParts(system: System): Record<Part, number> {
  const pids = system.pids()
  return byPart((part) => readCpuMs(pids[part]))
}

/** Keeps the highest lag, and the line on the terminal. */
function watchLag(
  { redis }: System,
  { name, progress, terminal }: { name: string; progress: Progress; terminal: Terminal },
): { stop(): Promise<Lag> } {
  const max: Lag = { records: 0, seconds: 0 }
  let isStopping = false
  const running = run()
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
