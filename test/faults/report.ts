import type { Attempt } from "./attempt.ts"
import { isClean, lineOf, type Verdict } from "./verdict.ts"

/** What many attempts come to. */

export function tell(attempt: Attempt): string[] {
  const { fault, verdict, times, notes, calls, underWay } = attempt
  const noted = notes.length === 0 ? "" : ` (${notes.join("; ")})`
  const untrue = times.untruths === 0 ? "" : `; /readyz was wrong ${times.untruths} times`
  const answers = `503: ${times.unavailable}, later than 500 ms: ${times.lateUnavailable}, slowest ${times.slowestUnavailable} ms${untrue}`
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
  const total: Verdict = {
    ...{ lost: 0, duplicated: 0, phantom: 0, refusedCharged: 0, overdraft: 0, unknown: 0 },
    ...{ resolved: 0, detectedLoss: 0, actualLoss: 0, lostCalls: 0, lostFen: 0 },
    ...{ done: 0, refused: 0, reversed: 0, findings },
  }
  for (const verdict of verdicts) for (const count of COUNTS) total[count] += verdict[count]
  return total
}

const HEADS = ["fault", "tried", "calls under way", "fen lost", "calls charged twice"]
const BACK = "back after (median, worst)"
const PROMPTNESS = ["503s", "after 500 ms", "slowest", "/readyz says so after (median)"]

/** One row a fault; with how quickly it was told, in the whole table. */
export function table(attempts: readonly Attempt[], { isWhole }: { isWhole: boolean }): string[] {
  const byFault = Map.groupBy(attempts, ({ fault }) => fault)
  const heads = [...HEADS, BACK, ...(isWhole ? PROMPTNESS : [])]
  return [
    `| ${heads.join(" | ")} |`,
    `|${heads.map(() => "---").join("|")}|`,
    ...[...byFault].map(([fault, tried]) => {
      const cells = [...cellsOf(fault, tried), ...(isWhole ? promptCells(tried) : [])]
      return `| ${cells.join(" | ")} |`
    }),
  ]
}

function cellsOf(fault: string, tried: readonly Attempt[]): (string | number)[] {
  const { lost, lostFen, detectedLoss, actualLoss, duplicated } = sumOf(
    tried.map(({ verdict }) => verdict),
  )
  const underWay = tried.reduce((sum, each) => sum + each.underWay, 0)
  const isTold = lost === 0 && detectedLoss === actualLoss
  const fen = lostFen === 0 && isTold ? "0" : `${lostFen}, ${isTold ? "all" : "not all"} told of`
  const times = tried.map((each) => each.times.recover)
  return [fault, tried.length, underWay, fen, duplicated, back(times)]
}

/** How late calls were told that nothing can be decided, and when a gateway said first that it is not ready. */
function promptCells(tried: readonly Attempt[]): (string | number)[] {
  const [all, late] = [sum(tried, "unavailable"), sum(tried, "lateUnavailable")]
  const slowest = Math.max(...tried.map(({ times }) => times.slowestUnavailable))
  const said = tried.flatMap(({ times }) => times.notReady ?? [])
  return [
    ...[all, late, all === 0 ? "" : inSeconds(slowest)],
    said.length === 0 ? "" : inSeconds(medianOf(said)),
  ]
}

function sum(
  tried: readonly Attempt[],
  what: "unavailable" | "lateUnavailable" | "untruths",
): number {
  return tried.reduce((total, { times }) => total + times[what], 0)
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
  const [unavailable, late] = [sum(attempts, "unavailable"), sum(attempts, "lateUnavailable")]
  const untruths = sum(attempts, "untruths")
  const slowest = Math.max(0, ...attempts.map(({ times }) => times.slowestUnavailable))
  return `${unavailable} calls were answered 503, ${late} of them later than 500 ms (the slowest after ${slowest} ms); /readyz said ${untruths} times for longer than a second what was not so`
}
