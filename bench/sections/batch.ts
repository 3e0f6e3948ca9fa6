import { noteAccepted } from "../books.ts"
import { type Job, type JobOutcome, runJob } from "../generator/job.ts"
import { holdBackFlusher } from "../hold-back.ts"
import { drained, readLag } from "../lag.ts"
import type { Bench, Section } from "../section.ts"
import { type Account, seedAccounts, seeded } from "../seed.ts"
import { type Gateway, PART_NAMES, PARTS } from "../system.ts"
import { percent, type Row, table, whole } from "../table.ts"
import { atLeast, median } from "../target.ts"
import { mapValues, startUsage } from "../usage.ts"

/** A load of batches, and what the flusher did of it in the meantime and afterwards. */
type Round = {
  chargesPerSecond: number
  refused: number
  /** CPU per charge while the load was on. */
  micros: Readonly<Record<string, number>>
  generatorMicros: number
  foreignShare: number
  /** Records that were not in Postgres when the load ended. */
  backlog: number
  flushedPerSecondDuring: number
  flushedPerSecondAfter: number
  /** CPU per record while the flusher caught up. */
  flushMicros: Readonly<Record<string, number>>
}

const ITEMS = 1_000
/** An installation has a gateway a core by default; one alone leaves Redis waiting for it. */
const GATEWAYS = 2
/** Each has 1,000 charges under way: many more of them would wait longer than a call may. */
const CONNECTIONS = 6
const CREDIT_FEN = 200_000_000
const TIMEOUT_MS = 30_000
/** What is offered when the flusher is measured under load: more than it is asked to keep up with. */
const STEADY_CHARGES_PER_SECOND = 40_000
const OFFERED = `${whole(STEADY_CHARGES_PER_SECOND)} charges/s`
const CHARGES_MIN = 100_000
const FLUSHED_MIN = 30_000
/** A backlog below this is caught up too soon to be measured. */
const BACKLOG_MIN = 10_000

const BODY = JSON.stringify({
  items: Array.from({ length: ITEMS }, () => ({ interface: "user.login" })),
})

const MODES = ["burst", "steady", "held back"] as const
type Mode = (typeof MODES)[number]
type Rounds = Record<Mode, Round[]>

/**
 * Batches of 1,000 charges: as many as it takes; at a steady rate, with the flusher beside it; and
 * at that rate while the flusher is stopped, so that it has all of them to catch up with.
 */
export async function runBatch(given: Bench): Promise<Section> {
  const { bench, stop } = await widen(given)
  try {
    return await runRounds(bench)
  } finally {
    await stop()
  }
}

async function widen(bench: Bench): Promise<{ bench: Bench; stop(): Promise<void> }> {
  const { system } = bench
  const added: Gateway[] = []
  while (system.gateways.length + added.length < GATEWAYS) added.push(await system.startGateway())
  const gateways = [...system.gateways, ...added]
  const pids = () => ({ ...system.pids(), gateway: gateways.map(({ pid }) => pid) })
  return {
    bench: { ...bench, system: { ...system, gateways, pids } },
    stop: async () => {
      for (const gateway of added) await gateway.stop()
    },
  }
}

async function runRounds(bench: Bench): Promise<Section> {
  const { system, options, proof, terminal } = bench
  const { rounds: count, burstSeconds } = options
  const accounts = await seedAccounts(system.sql, { count: CONNECTIONS, creditFen: CREDIT_FEN })
  proof.accounts.push(...accounts)
  await seeded(system)
  await runOne(bench, accounts, { mode: "burst", seconds: 1 })
  const rounds: Rounds = { burst: [], steady: [], "held back": [] }
  for (let n = 1; n <= count; n++) {
    for (const mode of MODES) {
      const seconds = mode === "burst" ? burstSeconds : burstSeconds / 2
      const round = await runOne(bench, accounts, { mode, seconds })
      rounds[mode].push(round)
      terminal.say(describeRound(`${n}/${count} ${mode}`, round))
    }
  }
  return describe(rounds, burstSeconds)
}

async function runOne(
  bench: Bench,
  accounts: readonly Account[],
  { mode, seconds }: { mode: Mode; seconds: number },
): Promise<Round> {
  const { system, terminal } = bench
  const progress = { calls: 0, refused: 0, lost: 0 }
  const timer = setInterval(() => terminal.live(`${mode}: ${progress.calls * ITEMS} charges`), 500)
  const usage = startUsage(system.pids())
  const urls = system.gateways.map(({ url }) => url)
  const batchesPerSecond = mode === "burst" ? null : STEADY_CHARGES_PER_SECOND / ITEMS
  const job = batchJob(accounts, { urls, seconds, batchesPerSecond })
  const resume = mode === "held back" ? holdBackFlusher(bench.system) : () => undefined
  const outcome = await runJob(job, progress).finally(() => {
    clearInterval(timer)
    resume()
  })
  const flushing = startUsage(system.pids())
  const loaded = usage(outcome.cpuMs)
  const { records: backlog } = await readLag(system.redis)
  const drainMs = await drained(system.redis)
  const flushed = flushing()
  const accepted = noteOutcome(bench, accounts, outcome)
  const perCharge = (ms: number) => (ms * 1_000) / accepted
  const isLong = backlog >= BACKLOG_MIN
  return {
    chargesPerSecond: (accepted / outcome.answers) * outcome.callsPerSecond,
    refused: outcome.codes.reduce((sum, [, count]) => sum + count, 0),
    micros: mapValues(loaded.partMs, perCharge),
    generatorMicros: perCharge(loaded.generatorMs),
    foreignShare: loaded.foreignMs / loaded.ms,
    backlog,
    flushedPerSecondDuring: ((accepted - backlog) * 1_000) / outcome.ms,
    flushedPerSecondAfter: isLong ? (backlog * 1_000) / drainMs : Number.NaN,
    flushMicros: mapValues(flushed.partMs, (ms) => (isLong ? (ms * 1_000) / backlog : Number.NaN)),
  }
}

export function batchJob(
  accounts: readonly Account[],
  load: { urls: readonly string[]; seconds: number; batchesPerSecond: number | null },
): Job {
  const { urls, seconds, batchesPerSecond } = load
  return {
    ...{ urls, seconds, callsPerSecond: batchesPerSecond },
    ...{ batchItems: ITEMS, connections: CONNECTIONS, timeoutMs: TIMEOUT_MS },
    calls: accounts.map(({ key }) => ({ path: "/v1/charges/batch", key, body: BODY })),
  }
}

/** How many charges were accepted; the books are compared with each account's. */
export function noteOutcome(
  { proof }: Pick<Bench, "proof">,
  accounts: readonly Account[],
  { lost, accepted, codes }: JobOutcome,
): number {
  if (lost > 0) throw new Error(`batch: ${lost} calls had no answer`)
  const sum = accepted.reduce((all, charges) => all + charges, 0)
  if (sum === 0) throw new Error(`batch: no charge was accepted: ${JSON.stringify(codes)}`)
  noteAccepted(
    proof,
    accounts.map(({ id }, place) => [id, accepted[place] ?? 0]),
  )
  return sum
}

function describeRound(title: string, round: Round): string {
  const { chargesPerSecond, refused, backlog, flushedPerSecondDuring, flushedPerSecondAfter } =
    round
  return [
    title.padEnd(14),
    `${whole(chargesPerSecond)} charges/s, ${whole(refused)} refused`,
    `flushed ${whole(flushedPerSecondDuring)}/s under load`,
    `a backlog of ${whole(backlog)} at ${whole(flushedPerSecondAfter)}/s`,
  ].join("  ")
}

function describe(rounds: Rounds, seconds: number): Section {
  const values = (mode: Mode, read: (round: Round) => number) => rounds[mode].map(read)
  const caughtUp = values("held back", (round) => round.flushedPerSecondAfter)
  return {
    title: "Batches, and the flusher behind them",
    lines: [
      `\`POST /v1/charges/batch\`, ${whole(ITEMS)} charges each, ${CONNECTIONS} connections to ${GATEWAYS} gateways: bursts of`,
      `${seconds} s at full speed; **steady**, ${OFFERED} for ${seconds / 2} s; **held back**, the same while the flusher is`,
      "stopped. Each is followed by the flusher catching up.",
      "",
      ...table(["", ...MODES], rowsOf(MODES.map((mode) => rounds[mode]))),
    ],
    targets: [
      atLeast(
        `charges/s in batches, bursts of ${seconds} s, appendfsync always`,
        values("burst", (round) => round.chargesPerSecond),
        CHARGES_MIN,
      ),
      atLeast("records/s flushed, catching up", caughtUp, FLUSHED_MIN),
      atLeast(
        `records/s flushed under a load of ${OFFERED}`,
        values("steady", (round) => round.flushedPerSecondDuring),
        FLUSHED_MIN,
      ),
    ],
  }
}

function rowsOf(columns: readonly (readonly Round[])[]): Row[] {
  const row = (title: string, read: (round: Round) => number | undefined, write = tenths): Row => [
    title,
    ...columns.map((rounds) => {
      const values = rounds.map((round) => read(round) ?? Number.NaN).filter(Number.isFinite)
      return values.length === 0 ? "–" : write(median(values))
    }),
  ]
  return [
    row("charges/s", (round) => round.chargesPerSecond, whole),
    row("charges refused", (round) => round.refused, whole),
    ...PARTS.map((part) => row(`CPU µs/charge: ${PART_NAMES[part]}`, ({ micros }) => micros[part])),
    row("CPU µs/charge: generator", (round) => round.generatorMicros),
    row("other programs, median", (round) => round.foreignShare, percent),
    row("records/s to Postgres under load", (round) => round.flushedPerSecondDuring, whole),
    row("records behind at its end", (round) => round.backlog, whole),
    row("records/s to Postgres catching up", (round) => round.flushedPerSecondAfter, whole),
    row("CPU µs/record catching up: flusher", ({ flushMicros }) => flushMicros.flusher),
    row("CPU µs/record catching up: Postgres", ({ flushMicros }) => flushMicros.postgres),
  ]
}

function tenths(value: number): string {
  return value.toFixed(1)
}
