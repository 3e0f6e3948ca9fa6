import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { HistogramCounts } from "../generator/histogram.ts"
import { lines } from "../svg/lines.ts"
import { percentileCurve } from "../svg/percentile-curve.ts"
import { type Picture, ticksTo } from "../svg/picture.ts"
import { whole } from "../table.ts"
import { describeAudit, describeLoop, type Report } from "./report.ts"

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; max-width: 760px; margin: 32px auto; padding: 0 16px;
  background: #ffffff; color: #1f2328; }
table { border-collapse: collapse; } td, th { padding: 4px 16px 4px 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
svg { max-width: 100%; height: auto; margin: 8px 0; } pre { white-space: pre-wrap; }
.bad { color: #cf222e; } .good { color: #1a7f37; }
@media (prefers-color-scheme: dark) {
  body { background: #0d1117; color: #f0f6fc; } .bad { color: #ff7b72; } .good { color: #3fb950; }
}`

/** Writes report.json and report.html; the page needs no other file, and no network. */
export function keepReport(dir: string, report: Report, latency: HistogramCounts): void {
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, "report.json"), `${JSON.stringify(report, null, 2)}\n`)
  writeFileSync(join(dir, "report.html"), writePage(report, latency))
}

function writePage(report: Report, latency: HistogramCounts): string {
  const { latencyMs } = report
  const rows: [string, string][] = [
    ["calls per second", whole(report.callsPerSecond)],
    ["accepted", whole(report.acceptedCalls)],
    ["no answer", whole(report.lost)],
    ["never sent", whole(report.unsent)],
    ["connections that broke", whole(report.brokenConnections)],
    ...Object.entries(latencyMs).map(([name, ms]): [string, string] => [
      `latency ${nameOf(name)}, ms`,
      ms.toFixed(2),
    ]),
  ]
  const refusals = Object.entries(report.codes).map(([code, count]): [string, string] => [
    code,
    whole(count),
  ])
  return [
    "<!doctype html>",
    '<html lang="en"><head><meta charset="utf-8"><title>Load test</title>',
    `<meta name="viewport" content="width=device-width"><style>${STYLE}</style></head><body>`,
    `<h1>Load test of ${escaped(report.url)}</h1>`,
    `<p>${escaped(report.startedAt)}, ${report.seconds.toFixed(0)} s, ${escaped(describeLoop(report))}, `,
    `${whole(report.keys)} keys of ${whole(report.accounts)} accounts, interface ${escaped(report.interface)}.</p>`,
    `<p class="${report.isGood ? "good" : "bad"}">${report.isGood ? verdictOf(report) : "This load did not go well: see the money."}</p>`,
    table(rows),
    ...pictures(report, latency).map(({ svg }) => svg),
    `<h2>Refused</h2>${refusals.length === 0 ? "<p>None.</p>" : table(refusals)}`,
    `<h2>The money</h2><pre>${escaped(describeAudit(report).join("\n"))}</pre>`,
    "</body></html>\n",
  ].join("\n")
}

function verdictOf({ audit }: Report): string {
  return audit === null
    ? "Every call was answered. The money was not audited."
    : "Every call was answered, and the books balance."
}

function pictures({ timeline }: Report, latency: HistogramCounts): Picture[] {
  const seconds = ticksTo(timeline.length).map((at) => ({ at, name: `${at} s` }))
  const overTime = (read: (second: Report["timeline"][number]) => number) =>
    timeline.map((second, i) => ({ x: i + 1, y: read(second) }))
  return [
    percentileCurve({
      file: "latency.svg",
      title: "Latency by percentile",
      note: "ms",
      series: [{ name: "calls", latency }],
    }),
    lines({
      file: "calls.svg",
      title: "Calls per second",
      note: "answers in each second",
      xAxis: seconds,
      lines: [
        { name: "accepted", points: overTime(({ accepted }) => accepted) },
        { name: "refused", points: overTime(({ refused }) => refused) },
      ],
    }),
    lines({
      file: "over-time.svg",
      title: "Latency over time",
      note: "ms, of the answers in each second",
      xAxis: seconds,
      lines: [
        { name: "p50", points: overTime(({ p50Ms }) => p50Ms) },
        { name: "p99", points: overTime(({ p99Ms }) => p99Ms) },
      ],
    }),
  ]
}

function nameOf(percentile: string): string {
  return percentile === "p999" ? "p99.9" : percentile
}

function table(rows: readonly [string, string][]): string {
  const cells = rows.map(
    ([name, value]) =>
      `<tr><td>${escaped(name)}</td><td class="number">${escaped(value)}</td></tr>`,
  )
  return `<table>${cells.join("")}</table>`
}

function escaped(text: string): string {
  return Bun.escapeHTML(text)
}
