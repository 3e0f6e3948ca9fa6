import type { Attempt } from "./attempt.ts"
import { isClean, lineOf, type Verdict } from "./verdict.ts"

/** What many attempts come to. */

export function tell(attempt: Attempt): string[] {
  const { fault, verdict, times, notes, calls, underWay } = attempt
  const noted = notes.length === 0 ? "" : ` (${notes.join("; ")})`
  const answers = `503: ${times.unavailable}, later than 500 ms: ${times.lateUnavailable}, slowest ${times.slowestUnavailable} ms`
  return [
    `${isClean(verdict) ? "ok  " : "FAIL"} ${fault}${noted}`,
    `     ${lineOf(verdict)}`,
    `     ${calls} calls, ${underWay} under way; recovered in ${times.recover} ms; ${answers}`,
    ...verdict.findings.map((finding) => `     ! ${finding}`),
  ]
}

const COUNTS = [
  ...(["lost", "duplicated", "phantom", "refusedCharged", "overdraft", "unknown"] as const),
  ...(["resolved", "detectedLoss", "actualLoss", "lostCalls", "lostFen"] as const),
  ...(["done", "refused", "reversed"] as const),
]

export function sumOf(verdicts: readonly Verdict[]): Verdict {
  const findings = verdicts.flatMap((verdict) => verdict.findings)
  const sum: Verdict = {
    ...{ lost: 0, duplicated: 0, phantom: 0, refusedCharged: 0, overdraft: 0, unknown: 0 },
    ...{ resolved: 0, detectedLoss: 0, actualLoss: 0, lostCalls: 0, lostFen: 0 },
    ...{ done: 0, refused: 0, reversed: 0, findings },
  }
  for (const verdict of verdicts) for (const count of COUNTS) sum[count] += verdict[count]
  return sum
}

/** One row a fault. */
export function table(attempts: readonly Attempt[]): string[] {
  const byFault = Map.groupBy(attempts, ({ fault }) => fault)
  return [
    "| fault | tried | calls under way | fen lost | calls charged twice | back after (median, worst) |",
    "|---|---|---|---|---|---|",
    ...[...byFault].map(([fault, tried]) => rowOf(fault, tried)),
  ]
}

function rowOf(fault: string, tried: readonly Attempt[]): string {
  const { lost, lostFen, detectedLoss, actualLoss, duplicated } = sumOf(
    tried.map(({ verdict }) => verdict),
  )
  const underWay = tried.reduce((sum, each) => sum + each.underWay, 0)
  const isTold = lost === 0 && detectedLoss === actualLoss
  const fen = lostFen === 0 && isTold ? "0" : `${lostFen}, ${isTold ? "all" : "not all"} told of`
  const times = tried.map((each) => each.times.recover)
  const cells = [fault, tried.length, underWay, fen, duplicated, back(times)]
  return `| ${cells.join(" | ")} |`
}

function back(times: readonly number[]): string {
  return `${inSeconds(medianOf(times))}, ${inSeconds(Math.max(...times))}`
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

function inSeconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`
}

/** How quickly a client was told that nothing can be decided, over all attempts. */
export function promptness(attempts: readonly Attempt[]): string {
  const of = (pick: (attempt: Attempt) => number) =>
    attempts.reduce((sum, attempt) => sum + pick(attempt), 0)
  const unavailable = of(({ times }) => times.unavailable)
  const late = of(({ times }) => times.lateUnavailable)
  const untruths = of(({ times }) => times.untruths)
  const slowest = Math.max(0, ...attempts.map(({ times }) => times.slowestUnavailable))
  return `${unavailable} calls were answered 503, ${late} of them later than 500 ms (the slowest after ${slowest} ms); /readyz said ${untruths} times for longer than a second what was not so`
}
