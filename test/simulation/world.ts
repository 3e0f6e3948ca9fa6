import { connectSql } from "../../db/connection.ts"
import { loadPendingInstructions } from "../../db/queries/load-pending-instructions.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { createExpiry } from "../../src/flusher/expire.ts"
import { startFlusher } from "../../src/flusher/flusher.ts"
import { flushRecord } from "../../src/flusher/process.ts"
import { sweep } from "../../src/flusher/sweep.ts"
import { connectNodes } from "../../src/ledger/cluster.ts"
import { createInstructions } from "../../src/ledger/instructions.ts"
import { createLedger, type Ledger, readInstruction } from "../../src/ledger/ledger.ts"
import { createOpenings } from "../../src/ledger/opening.ts"
import { decodeAccount } from "../../src/ledger/states.ts"
import {
  EXPIRY_INTERVAL_MS,
  FLUSH_COMMAND_TIMEOUT_MS,
  REDIS_START_MS,
  SETTLE_COMMAND_TIMEOUT_MS,
  SWEEP_INTERVAL_MS,
} from "../../src/limits.ts"
import { startKeeper } from "../../src/recovery/keeper.ts"
import { messageOf, startTicker } from "../../src/ticker.ts"
import { createDisk, type Disk } from "./disk.ts"
import type { Plan, Weather } from "./plan.ts"
import { createPostgresHost, type PostgresHost, type SqlFate } from "./postgres/host.ts"
import { type Process, runProcess } from "./processes.ts"
import { createRandom, type Random } from "./random.ts"
import { createRedisHost, type Fate, type RedisHost } from "./redis/host.ts"
import { createScheduler, type Scheduler } from "./scheduler.ts"
import { setStage } from "./stage.ts"
import { createTruth, type Truth } from "./truth.ts"

/** A world with its servers and processes, on the stage. */
export type World = {
  plan: Plan
  scheduler: Scheduler
  redis: RedisHost
  postgres: PostgresHost
  disk: Disk
  truth: Truth
  gateways: Process<Ledger>[]
  flushers: Process<unknown>[]
  keepers: Process<unknown>[]
  clocks: Clocks
  /** Of one purpose: whoever draws more often does not disturb the others. */
  random(name: string): Random
  /** From now on commands meet with the plan's weather; or with none. */
  setStormy(isStormy: boolean): void
  isStormy(): boolean
  weather(): Weather
  /** What must never happen. */
  fail(reason: string): void
  failures(): readonly string[]
  note(line: string): void
  trace(): readonly string[]
}

/** How far each clock is from the true time, in ms. */
type Clocks = { redis: number; postgres: number; machine: number }

const STORES = { redisUrl: "redis://simulated", databaseUrl: "postgres://simulated" }
const DATA_DIR = "/simulated"
/** Two seconds before the end of a month, and of a year: records and budgets go over it. */
const BEGINNING_MS = Date.UTC(2031, 11, 31, 23, 59, 54)

const CALM: Weather = {
  ...{ cutRequest: 0, cutReply: 0, silent: 0, lateRequest: 0, lateReply: 0 },
  ...{ sqlCutRequest: 0, sqlCutReply: 0, sqlLate: 0, answerLost: 0 },
}
const TRACE_LINES_MAX = 20_000
const FAILURES_MAX = 20

export function createWorld(seed: number, plan: Plan, { isTraced }: { isTraced: boolean }): World {
  const random = createRandom(seed)
  const failures: string[] = []
  const trace: string[] = []
  const scheduler = createScheduler((error) => fail(`an event threw: ${textOf(error)}`))
  const clocks: Clocks = { redis: 0, postgres: 0, machine: 0 }
  const wall = (offset: number) => BEGINNING_MS + scheduler.now() + offset
  const truth = createTruth()
  let weather = CALM
  let isStormy = false
  const network = random.fork("network")
  const fates = createFates(network, () => weather)
  const redis = createRedisHost({
    ...{ scheduler, random: random.fork("redis"), nowMs: () => Math.floor(wall(clocks.redis)) },
    fateOf: (args, part) => {
      const fate = fates.redis()
      if (isTraced) note(`${part?.name ?? "?"} -> redis ${shorten(args)}${describe(fate)}`)
      return fate
    },
    onScriptError: (error) => fail(`a script failed: ${error.message}`),
    onAppend: truth.append,
    onExecuted: (args) => lookForOverdraft(args),
  })
  const postgres = createPostgresHost({
    ...{ scheduler, random: random.fork("postgres"), nowMs: () => wall(clocks.postgres) },
    fateOf: (name, args, part) => {
      const fate = fates.postgres()
      const given = isTraced ? (JSON.stringify(args) ?? "").slice(0, 160) : ""
      if (isTraced) note(`${part?.name ?? "?"} -> postgres ${name}${describe(fate)} ${given}`)
      return fate
    },
    onFault: (error) => fail(`the stand-in of Postgres: ${textOf(error)}`),
  })
  const disk = createDisk()
  const wallMs = () => Math.floor(wall(clocks.machine))
  setStage({ scheduler, redis, postgres, disk, random: random.fork("parts"), wallMs })
  const onCrash = (part: { name: string; isDead: boolean; pausedUntilMs: number }) => {
    redis.drop(part)
    disk.abandon(part)
  }
  const log = (message: string) => note(`${scheduler.current()?.name ?? "?"}: ${message}`)
  const process = <Running>(
    name: string,
    start: () => Promise<Running>,
    stop: (running: Running) => Promise<void>,
  ) => runProcess({ scheduler, name, start, stop, onCrash, note })
  const several = <Item>(count: number, make: (i: number) => Item) =>
    Array.from({ length: count }, (_, i) => make(i))
  const stopIt = (running: { stop(): Promise<void> }) => running.stop()
  const keepers = several(plan.keepers, (i) =>
    process(
      `keeper${i}`,
      () => startKeeper({ ...STORES, partitions: plan.partitions, log }),
      stopIt,
    ),
  )
  const flushers = several(plan.flushers, (i) =>
    process(`flusher${i}`, () => startFlusherPart(plan.partitions, log), stopIt),
  )
  const gateways = several(plan.gateways, (i) =>
    process(`gateway${i}`, () => startGateway(log), stopIt),
  )
  return {
    ...{ plan, scheduler, redis, postgres, disk, truth, gateways, flushers, keepers, clocks },
    random: (name) => random.fork(name),
    setStormy(is) {
      isStormy = is
      weather = is ? plan.weather : CALM
    },
    isStormy: () => isStormy,
    weather: () => weather,
    fail,
    failures: () => failures,
    note,
    trace: () => trace,
  }

  function fail(reason: string): void {
    note(`FAILURE ${reason}`)
    if (failures.length < FAILURES_MAX && !failures.includes(reason)) failures.push(reason)
  }

  function note(line: string): void {
    if (!isTraced || trace.length > TRACE_LINES_MAX) return
    trace.push(`${scheduler.now().toFixed(2).padStart(10)} ${line}`)
  }

  /** Available money is never negative, at no moment, whatever happens. */
  function lookForOverdraft(args: readonly string[]): void {
    if (args[0]?.toUpperCase() !== "EVALSHA") return
    for (const key of args) {
      if (!/^\{\w+\}:\d+:a:/.test(key)) continue
      const state = redis.server.data().get(key)?.value
      if (typeof state !== "string") continue
      const { balanceFen, heldFen } = decodeAccount(Buffer.from(state, "latin1"))
      if (heldFen > balanceFen) fail(`overdraft: ${key} has ${balanceFen} fen and holds ${heldFen}`)
    }
  }
}

function startGateway(log: (message: string) => void): Promise<Ledger> {
  return createLedger({
    redisUrl: STORES.redisUrl,
    sql: connectSql(STORES.databaseUrl, { max: 4, applicationName: "gateway" }),
    dataDir: DATA_DIR,
    onBatch: () => undefined,
    log,
  })
}

/** What moves money of the background process (src/flusher/process.ts). */
async function startFlusherPart(partitions: number, log: (message: string) => void) {
  const open = (name: string, commandTimeoutMs: number) =>
    connectNodes(STORES.redisUrl, { name, commandTimeoutMs, timeoutMs: REDIS_START_MS })
  const redis = await open("flusher", FLUSH_COMMAND_TIMEOUT_MS)
  const sql = connectSql(STORES.databaseUrl, { max: 4, applicationName: "flusher" })
  const openings = createOpenings(() => readOpening(sql))
  await openings.reload()
  const { applyPending } = createInstructions({
    ...{ redis, openings, log },
    loadPending: async (page) => (await loadPendingInstructions(sql, page)).map(readInstruction),
  })
  const redisForHolds = await open("expiry", SETTLE_COMMAND_TIMEOUT_MS)
  const expiry = createExpiry({ redis: redisForHolds, sql, openings, partitions, log })
  const ticker = (intervalMs: number, work: () => Promise<void>, what: string) =>
    startTicker({ intervalMs, work, onError: (error) => log(`${what}: ${messageOf(error)}`) })
  const workers = [
    ...Array.from({ length: partitions }, (_, partition) =>
      startFlusher({ redis, record: flushRecord(sql), openings, partition, log }),
    ),
    ticker(SWEEP_INTERVAL_MS, () => sweep(sql, applyPending), "the sweep pauses"),
    ticker(EXPIRY_INTERVAL_MS, expiry.sweep, "expiries pause"),
  ]
  return {
    async stop() {
      await Promise.all(workers.map((worker) => worker.stop()))
      await expiry.stop()
      redis.disconnect()
      redisForHolds.disconnect()
    },
  }
}

/** What the weather does to each command and statement. */
function createFates(random: Random, weather: () => Weather) {
  const late = (rate: number, most: number) => (random.chance(rate) ? random.between(40, most) : 0)
  return {
    redis(): Fate {
      const { cutRequest, cutReply, silent, lateRequest, lateReply } = weather()
      const cut = random.chance(cutRequest) ? "request" : random.chance(cutReply) ? "reply" : null
      return {
        requestMs: random.between(0.05, 0.5) + late(lateRequest, 900),
        replyMs: random.between(0.05, 0.5) + late(lateReply, 900),
        ...{ cut, isSilent: random.chance(silent) },
      }
    },
    postgres(): SqlFate {
      const { sqlCutRequest, sqlCutReply, sqlLate } = weather()
      const isCut = random.chance(sqlCutRequest)
      const lateMs = late(sqlLate, random.chance(0.1) ? 18_000 : 1_500)
      return {
        requestMs: random.between(0.1, 1.5) + lateMs,
        replyMs: random.between(0.1, 1),
        cut: isCut ? "request" : random.chance(sqlCutReply) ? "reply" : null,
      }
    },
  }
}

function describe({ requestMs, replyMs, cut, isSilent = false }: SqlFate & Partial<Fate>): string {
  const late =
    requestMs + replyMs > 40 ? ` late ${requestMs.toFixed(0)}+${replyMs.toFixed(0)} ms` : ""
  return `${late}${cut === null ? "" : ` CUT before its ${cut}`}${isSilent ? " SILENT" : ""}`
}

function shorten(args: readonly string[]): string {
  const words = args.map((arg) => (/^[\x20-\x7e]{0,60}$/.test(arg) ? arg : `<${arg.length} B>`))
  return words.join(" ").slice(0, 260)
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
