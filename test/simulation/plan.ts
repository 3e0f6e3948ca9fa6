import type { Random } from "./random.ts"

/** What a world is made of, and what happens to it: all of it drawn from its seed. */

export type FaultKind =
  | "gateway_crash"
  | "gateway_pause"
  | "gateway_stop"
  | "flusher_crash"
  | "flusher_pause"
  | "flusher_stop"
  | "keeper_crash"
  | "keeper_pause"
  | "redis_crash"
  | "redis_pause"
  | "redis_cut"
  | "redis_full"
  | "redis_readonly"
  | "scripts_flushed"
  | "postgres_crash"
  | "postgres_pause"
  | "redis_clock"
  | "postgres_clock"
  | "machine_clock"
  | LossKind
  | "postgres_restored"
/** What a Redis can do that is not durable, or an administrator to one that is. */
export type LossKind =
  | "redis_rolled_back"
  | "redis_twice_promoted"
  | "redis_flushed"
  | "redis_replaced"
  | "redis_restored"

export type Fault = {
  kind: FaultKind
  atMs: number
  /** How long it lasts. */
  forMs: number
  /** Which of several, how many writes, how many milliseconds: as the kind has it. */
  size: number
}

/** How often a command on its way meets with each of these. */
export type Weather = {
  cutRequest: number
  cutReply: number
  silent: number
  lateRequest: number
  lateReply: number
  sqlCutRequest: number
  sqlCutReply: number
  sqlLate: number
  answerLost: number
}

export type Plan = {
  partitions: number
  gateways: number
  flushers: number
  keepers: number
  accounts: number
  callers: number
  /** How long callers call, and faults happen. */
  activeMs: number
  weather: Weather
  faults: Fault[]
}

const COMMON: readonly FaultKind[] = [
  ...(["gateway_crash", "gateway_crash", "gateway_pause", "gateway_stop"] as const),
  ...(["flusher_crash", "flusher_pause", "flusher_stop", "keeper_crash", "keeper_pause"] as const),
  ...(["redis_crash", "redis_crash", "redis_pause", "redis_pause", "redis_cut"] as const),
  ...(["redis_full", "redis_readonly", "scripts_flushed"] as const),
  ...(["postgres_crash", "postgres_pause"] as const),
  ...(["redis_clock", "postgres_clock", "machine_clock"] as const),
]
const LOSSES: readonly LossKind[] = [
  ...(["redis_rolled_back", "redis_rolled_back", "redis_twice_promoted"] as const),
  ...(["redis_flushed", "redis_replaced", "redis_restored"] as const),
]
export const LOSS_KINDS: ReadonlySet<FaultKind> = new Set(LOSSES)

const CLOCK_STEP_MS_MAX = 8_000

export function drawPlan(random: Random): Plan {
  const activeMs = random.between(1_500, 5_000)
  const isCalm = random.chance(0.3)
  return {
    partitions: random.chance(0.25) ? 2 : 1,
    gateways: random.integer(1, 2),
    flushers: random.chance(0.3) ? 2 : 1,
    keepers: random.chance(0.15) ? 2 : 1,
    accounts: random.integer(1, 4),
    callers: random.integer(2, 6),
    activeMs,
    weather: drawWeather(random, isCalm),
    faults: drawFaults(random, activeMs),
  }
}

function drawWeather(random: Random, isCalm: boolean): Weather {
  const rate = (most: number) => (isCalm || random.chance(0.4) ? 0 : random.next() * most)
  return {
    cutRequest: rate(0.02),
    cutReply: rate(0.03),
    silent: rate(0.008),
    lateRequest: rate(0.03),
    lateReply: rate(0.03),
    sqlCutRequest: rate(0.04),
    sqlCutReply: rate(0.05),
    sqlLate: rate(0.04),
    answerLost: rate(0.03),
  }
}

function drawFaults(random: Random, activeMs: number): Fault[] {
  const fault = (kind: FaultKind): Fault => ({
    kind,
    atMs: random.between(300, activeMs),
    forMs: durationOf(kind, random),
    size: sizeOf(kind, random),
  })
  const faults = Array.from({ length: random.integer(0, 5) }, () => fault(random.pick(COMMON)))
  if (random.chance(0.3)) faults.push(fault(random.pick(LOSSES)))
  else if (random.chance(0.12)) faults.push(fault("postgres_restored"))
  if (faults.some(({ kind }) => LOSS_KINDS.has(kind)) && random.chance(0.3)) {
    faults.push(fault(random.pick(LOSSES)))
  }
  return faults.toSorted((left, right) => left.atMs - right.atMs)
}

function durationOf(kind: FaultKind, random: Random): number {
  if (kind === "keeper_pause") return random.between(100, 15_000)
  if (kind.endsWith("_pause"))
    return random.pick([random.between(50, 400), random.between(400, 3_000)])
  if (kind.endsWith("_clock")) return random.between(500, 4_000)
  return random.between(20, 1_800)
}

function sizeOf(kind: FaultKind, random: Random): number {
  if (kind.endsWith("_clock")) return Math.round(random.between(-1, 1) * CLOCK_STEP_MS_MAX)
  if (kind === "redis_rolled_back" || kind === "redis_twice_promoted") return random.integer(1, 25)
  return random.integer(0, 1)
}

export function describeFault({ kind, atMs, forMs, size }: Fault): string {
  return `${kind} at ${atMs.toFixed(0)} ms for ${forMs.toFixed(0)} ms (${size})`
}
