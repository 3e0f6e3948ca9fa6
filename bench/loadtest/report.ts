import { type Percentiles, percentilesOf } from "../generator/histogram.ts"
import { whole } from "../table.ts"
import type { Audit } from "./audit.ts"
import type { LoadResult } from "./load.ts"
import type { LoadOptions } from "./options.ts"

/** A load test that has ended, as it is told and kept. No key and no password is in it. */
export type Report = {
  startedAt: string
  url: string
  interface: string
  keys: number
  accounts: number
  connections: number
  /** Null: a closed loop. */
  ratePerSecond: number | null
  seconds: number
  callsPerSecond: number
  acceptedCalls: number
  latencyMs: Percentiles & { max: number }
  /** How late calls were sent: waiting for a connection, or for the generator. */
  lateMs: Percentiles
  statuses: Record<string, number>
  codes: Record<string, number>
  /** Calls without an answer: each may have been charged. */
  lost: number
  /** Calls that were due and never sent: no connection came free in time. */
  unsent: number
  brokenConnections: number
  timeline: LoadResult["timeline"]
  audit: Audit | null
  isGood: boolean
}

export function makeReport(
  { url, interface: interfaceId, connections, callsPerSecond }: LoadOptions,
  {
    result,
    audit,
    startedAt,
    keys,
    accounts,
  }: {
    result: LoadResult
    audit: Audit | null
    startedAt: Date
    keys: number
    accounts: number
  },
): Report {
  const { latency, lateness, lost, unsent, broken, statuses, codes } = result
  return {
    startedAt: startedAt.toISOString(),
    url: withoutLogin(url),
    interface: interfaceId,
    keys,
    accounts,
    connections,
    ratePerSecond: callsPerSecond,
    seconds: Number(result.seconds.toFixed(3)),
    callsPerSecond: Number(result.callsPerSecond.toFixed(1)),
    acceptedCalls: result.acceptedCalls,
    latencyMs: { ...percentilesOf(latency), max: latency.maxMicros / 1_000 },
    lateMs: percentilesOf(lateness),
    statuses: Object.fromEntries(statuses),
    codes: Object.fromEntries(codes),
    lost,
    unsent,
    brokenConnections: broken,
    timeline: result.timeline,
    audit,
    isGood: lost === 0 && (audit === null || audit.findings.length === 0),
  }
}

function withoutLogin(url: string): string {
  const { origin, pathname } = new URL(url)
  return origin + pathname.replace(/\/$/, "")
}

/** The lines that the terminal shows. */
export function describeReport(report: Report): string[] {
  const { latencyMs, lateMs, ratePerSecond } = report
  const ms = ({ p50, p90, p99, p999 }: Percentiles) =>
    `p50 ${p50.toFixed(2)}  p90 ${p90.toFixed(2)}  p99 ${p99.toFixed(2)}  p99.9 ${p999.toFixed(2)}`
  const codes = Object.entries(report.codes).map(([code, count]) => `${whole(count)} ${code}`)
  return [
    `calls      ${whole(report.callsPerSecond)} per second for ${report.seconds.toFixed(0)} s, ${describeLoop(report)}`,
    `accepted   ${whole(report.acceptedCalls)}`,
    `refused    ${codes.length === 0 ? "none" : codes.join(", ")}`,
    `no answer  ${report.lost}${report.unsent > 0 ? `, and ${report.unsent} never sent` : ""}`,
    `latency    ${ms(latencyMs)}  max ${latencyMs.max.toFixed(2)} ms`,
    ...(ratePerSecond === null ? [] : [`sent late  ${ms(lateMs)} ms, which is in the latency`]),
    ...describeAudit(report),
  ]
}

export function describeLoop({ ratePerSecond, connections }: Report): string {
  return ratePerSecond === null
    ? `closed loop, ${connections} connections`
    : `open loop, ${whole(ratePerSecond)} due per second, ${connections} connections`
}

export function describeAudit({ audit, lost }: Report): string[] {
  if (audit === null) return ["money      not audited: --database-url is not given"]
  const { acceptedCalls, records, deductedFen, accounts, otherRecords, lostCharged } = audit
  return [
    `money      ${whole(acceptedCalls)} calls accepted, ${whole(records)} charges recorded, ${whole(deductedFen)} fen deducted`,
    `books      ${whole(accounts)} accounts, ${audit.findings.length === 0 ? "numbered without a gap, and every balance follows from the one before" : "NOT in order"}`,
    ...(otherRecords > 0
      ? [
          `           ${whole(otherRecords)} records of these accounts and this time are not of this load`,
        ]
      : []),
    ...(lost > 0
      ? [`           of ${lost} calls without an answer, ${lostCharged} were charged`]
      : []),
    ...audit.findings.map((finding) => `  ${finding}`),
  ]
}
