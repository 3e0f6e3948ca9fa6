import { oneNode } from "../../src/ledger/cluster.ts"
import { auditBooks } from "../../src/reconcile/audit.ts"
import { eventually } from "../support/eventually.ts"
import type { Chance } from "./chance.ts"
import type { Fault, Scene } from "./fault.ts"
import { createJournal } from "./journal.ts"
import { type Load, startLoad } from "./load.ts"
import { type Probe, startProbe, untruths } from "./probe.ts"
import { settle } from "./quiet.ts"
import type { Site } from "./site.ts"
import { compare, readMark, type Verdict } from "./verdict.ts"

/** One fault, tried once: what was going on, what became of it, and how long it took. */
export type Attempt = {
  fault: string
  /** Calls that the clients waited for in the moment of the fault. */
  underWay: number
  calls: number
  verdict: Verdict
  times: Times
  notes: string[]
}

/** All in ms. */
export type Times = {
  /** From the moment in which what was broken is there again, until each gateway charges both partitions. */
  recover: number
  /** From the fault until the first gateway says that it is not ready; null: none says so. */
  notReady: number | null
  /** From the heal until both say that they are. */
  ready: number
  /** Answers 503 later than promised, and the slowest of all. */
  lateUnavailable: number
  unavailable: number
  slowestUnavailable: number
  /** Looks at which a gateway said of itself what was not so. */
  untruths: number
}

const [BEFORE_MS_MIN, BEFORE_MS_MAX] = [200, 500]
const OUTAGE_MS = [200, 900] as const
const AFTER_MS = 150
/** Far above what is measured: a busy machine takes its time. */
const [RECOVERED_MS_MAX, CAUGHT_UP_MS_MAX] = [120_000, 60_000]
const LATE_MS = 500
const CODES = 40
const CODE_FEN = 60

type Options = { site: Site; fault: Fault; chance: Chance; isLong: boolean }

export async function attempt({ site, fault, chance, isLong }: Options): Promise<Attempt> {
  const journal = createJournal()
  const notes: string[] = []
  const mark = await readMark(site.sql)
  const codes = await site.makeCodes(CODE_FEN, CODES)
  const load = startLoad({ site, journal, chance, codes })
  const probe = startProbe(site.gateways.map(({ port }) => port))
  const scene: Scene = {
    ...{ site, chance, load, isLong, evidence: [] },
    note: (sentence) => void notes.push(sentence),
  }
  let moments: Moments
  try {
    moments = await strikeAndHeal(fault, scene)
  } finally {
    await Promise.all([load.stop(), probe.stop()])
  }
  await settle(site, journal)
  const verdict = await compare({ sql: site.sql, journal, mark, evidence: scene.evidence })
  verdict.findings.push(...(await audit(site)), ...((await fault.check?.(scene)) ?? []))
  if (fault.mayLose !== true && verdict.actualLoss > 0) {
    verdict.findings.push(`${verdict.actualLoss} records are lost, and none may be`)
  }
  return {
    ...{ fault: fault.name, verdict, notes },
    ...{ underWay: moments.underWay, calls: load.seen.calls },
    times: timesOf(moments, load, probe),
  }
}

/** Under a load that goes on. Resolves when each gateway charges both partitions again. */
export async function strikeAndHeal(fault: Fault, scene: Scene): Promise<Moments> {
  const { chance, load, isLong } = scene
  await Bun.sleep(chance.between(BEFORE_MS_MIN, BEFORE_MS_MAX))
  const underWay = load.underWay()
  const struckAt = performance.now()
  const heal = await fault.strike(scene)
  const outage = (isLong ? fault.longOutageMs : undefined) ?? fault.outageMs ?? OUTAGE_MS
  await Bun.sleep(chance.between(...outage))
  await heal()
  const healedAt = performance.now()
  const [chargedAt, backAt] = await Promise.all([recovered(load, healedAt), whole(fault, scene)])
  const recoveredAt = Math.max(chargedAt, backAt)
  await Bun.sleep(AFTER_MS)
  return { underWay, struckAt, healedAt, recoveredAt }
}

type Moments = { underWay: number; struckAt: number; healedAt: number; recoveredAt: number }

/** When the last of them was first paid for a call sent since: each partition, at each gateway. */
async function recovered({ seen }: Load, sinceAt: number): Promise<number> {
  const first = new Map<string, number>()
  let looked = seen.samples.length
  const look = () => {
    const fresh = seen.samples.slice(looked)
    looked += fresh.length
    for (const { outcome, sentAt, answeredAt, gateway, partition } of fresh) {
      const place = `${gateway} ${partition}`
      if (outcome === "paid" && sentAt >= sinceAt && !first.has(place)) first.set(place, answeredAt)
    }
    return first.size >= PLACES && Math.max(...first.values())
  }
  return (await eventually(look, { timeoutMs: RECOVERED_MS_MAX })) || sinceAt
}
const PLACES = 4

/** When it was so what the fault asks for beside that. */
async function whole({ isBack }: Fault, scene: Scene): Promise<number> {
  if (isBack === undefined) return 0
  const look = async () => {
    const isSo = await isBack(scene)
    if (!isSo) await Bun.sleep(LOOK_MS)
    return isSo
  }
  await eventually(look, { timeoutMs: RECOVERED_MS_MAX })
  return performance.now()
}
const LOOK_MS = 20

function timesOf(moments: Moments, { seen }: Load, { looks }: Probe): Times {
  const { struckAt, healedAt, recoveredAt } = moments
  const since = looks.filter(({ at }) => at > struckAt)
  const unready = since.find(({ says }) => says !== "ready")
  const readyAt = [0, 1].map(
    (gateway) =>
      since.find((look) => look.gateway === gateway && look.at > healedAt && look.says === "ready")
        ?.at,
  )
  const unavailable = seen.samples
    .filter(({ outcome }) => outcome === "unavailable")
    .map(({ sentAt, answeredAt }) => answeredAt - sentAt)
  return {
    recover: Math.round(recoveredAt - healedAt),
    notReady: unready === undefined ? null : Math.round(unready.at - struckAt),
    ready: Math.round(Math.max(...readyAt.map((at) => at ?? recoveredAt)) - healedAt),
    unavailable: unavailable.length,
    lateUnavailable: unavailable.filter((ms) => ms > LATE_MS).length,
    slowestUnavailable: Math.round(Math.max(0, ...unavailable)),
    untruths: untruths(looks, seen.samples),
  }
}

/** The books, recomputed from nothing: one sentence for each thing that is wrong with them. */
export async function audit(site: Site): Promise<string[]> {
  const audited = await auditBooks({
    ...{ sql: site.sql, redis: oneNode(site.redis().client), catchUpMs: CAUGHT_UP_MS_MAX },
  })
  const { creditsFen, debitsFen, balancesFen } = audited
  const isEven = creditsFen - debitsFen === balancesFen
  return isEven
    ? audited.findings
    : [...audited.findings, "credits and debits are not the balances"]
}
