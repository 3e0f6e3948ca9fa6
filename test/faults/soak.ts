import { readDrift } from "../../db/queries/read-drift.ts"
import { audit, strikeAndHeal } from "./attempt.ts"
import { SHORT_FAULTS } from "./catalogue/index.ts"
import { type Chance, chanceFrom, newSeed } from "./chance.ts"
import type { Fault, Scene } from "./fault.ts"
import { type Gauge, startGauge } from "./gauge.ts"
import { createJournal } from "./journal.ts"
import { startLoad } from "./load.ts"
import { settle } from "./quiet.ts"
import { sumOf } from "./report.ts"
import { describeSite, type Site, startSite } from "./site.ts"
import { compare, isClean, lineOf, readMark, type Verdict } from "./verdict.ts"

/**
 * `npm run soak -- [minutes]`: full load on one installation, with a random fault every 20 s. Every few
 * faults the load pauses, and each request of since then is compared with Postgres.
 */

const minutes = Number(process.argv[2] ?? 30)
const FAULT_EVERY_MS = 20_000
const FAULTS_A_ROUND = 6
const [CLIENTS, THINK_MS_MAX] = [32, 2]
/** Every partition is proven again and again: one that is not says nothing. */
const PROVEN_WITHIN_MS = 60_000
const [CODES, CODE_FEN] = [500, 60]

const seed = newSeed()
console.log(`SEED=${seed}`)
const site = await startSite()
try {
  const gauge = startGauge(site)
  const isGood = await soak(site, gauge, chanceFrom(seed))
  gauge.stop()
  await site.stop()
  process.exit(isGood ? 0 : 1)
} catch (error) {
  console.log(error, await describeSite(site))
  await site.stop()
  process.exit(1)
}

async function soak(on: Site, gauge: Gauge, chance: Chance): Promise<boolean> {
  const endsAt = performance.now() + minutes * 60_000
  const rounds: Round[] = []
  while (performance.now() < endsAt) {
    const round = await playRound(on, chance, endsAt)
    rounds.push(round)
    console.log(
      `${new Date().toISOString()} ${round.faults.join(", ")}\n  ${lineOf(round.verdict)}`,
    )
    for (const finding of round.verdict.findings) console.log(`  ! ${finding}`)
  }
  const total = sumOf(rounds.map(({ verdict }) => verdict))
  const { lines, findings } = gauge.report()
  const driftFen = await readDrift(on.sql, PROVEN_WITHIN_MS)
  const calls = rounds.reduce((sum, round) => sum + round.calls, 0)
  const faults = rounds.reduce((sum, round) => sum + round.faults.length, 0)
  const isFlat = findings.length === 0
  console.log([...lines, ...findings.map((finding) => `! ${finding}`)].join("\n"))
  console.log(
    `${minutes} minutes, ${faults} faults, ${calls} calls, ${total.done} charges and credits: ${lineOf(total)} drift_fen=${driftFen} memory_and_handles=${isFlat ? "flat" : "grown"} SEED=${seed}`,
  )
  return isClean(total) && driftFen === 0 && isFlat
}

type Round = { verdict: Verdict; calls: number; faults: string[] }

/** Some faults under one load, and what has become of every request of it. */
async function playRound(on: Site, chance: Chance, endsAt: number): Promise<Round> {
  const journal = createJournal()
  const mark = await readMark(on.sql)
  const codes = await on.makeCodes(CODE_FEN, CODES)
  const thinkMsMax = THINK_MS_MAX
  const load = startLoad({ site: on, journal, chance, codes, clients: CLIENTS, thinkMsMax })
  const scene: Scene = {
    ...{ site: on, chance, load, isLong: false, evidence: [] },
    note: () => undefined,
  }
  const possible = SHORT_FAULTS.filter((fault) => (fault.impossible?.(on) ?? null) === null)
  const struck: Fault[] = []
  try {
    while (struck.length < FAULTS_A_ROUND && performance.now() < endsAt) {
      const nextAt = performance.now() + FAULT_EVERY_MS
      const fault = chance.pick(possible)
      struck.push(fault)
      await strikeAndHeal(fault, scene)
      await Bun.sleep(Math.max(0, Math.min(nextAt, endsAt) - performance.now()))
    }
  } finally {
    await load.stop()
  }
  await settle(on, journal)
  const verdict = await compare({ sql: on.sql, journal, mark, evidence: scene.evidence })
  verdict.findings.push(...(await audit(on)))
  for (const fault of struck) verdict.findings.push(...((await fault.check?.(scene)) ?? []))
  return { verdict, calls: load.seen.calls, faults: struck.map(({ name }) => name) }
}
