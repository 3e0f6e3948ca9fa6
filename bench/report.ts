import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { cpus, release, totalmem } from "node:os"
import { join } from "node:path"
import type { Books } from "./books.ts"
import type { Options } from "./options.ts"
import type { Oversell } from "./oversell.ts"
import type { Pair } from "./pairs.ts"
import { type Measured, SCENARIO_NAMES, SCENARIO_TITLES } from "./scenarios.ts"
import { judge, type Summary, summarise } from "./summary.ts"
import { PARTS, type System } from "./system.ts"

export type Run = {
  options: Options
  measured: Measured
  pairs: Pair[]
  oversell: Oversell
  books: Books
  machine: string[]
}

type Row = readonly string[]

const RESULTS = join(import.meta.dir, "RESULTS.md")

/** The whole result as text in Markdown: what the terminal shows is what RESULTS.md keeps. */
export function writeReport({ options, measured, pairs, oversell, books, machine }: Run): string {
  const summaries = SCENARIO_NAMES.map((name) => summarise(measured.rounds[name]))
  const { targets, hotToMany } = judge(measured, pairs)
  const { connections, seconds, rounds, gateways, accounts } = options
  return [
    ...SCENARIO_NAMES.map((name) => `- **${name}**: ${SCENARIO_TITLES[name]}`),
    "",
    `${connections} connections, ${gateways} gateway process(es), ${accounts} accounts, medians of ` +
      `${rounds} rounds of ${seconds} s.`,
    "",
    ...table(
      ["", ...SCENARIO_NAMES],
      [...speedRows(summaries), ...costRows(summaries), ...flushRows(summaries)],
    ),
    "",
    ...table(
      ["target", "bound", "measured", ""],
      targets.map(({ text, bound, value, isMet }) => [
        text,
        bound,
        value.toFixed(2),
        isMet ? "ok" : "**missed**",
      ]),
    ),
    "",
    `One account takes ${hotToMany.toFixed(2)} times the calls per second of many.`,
    `Oversell: 2,000 charges at once through two gateways on a balance of 1,000 fen: ` +
      `${oversell.accepted} accepted, ${oversell.refused} refused (${oversell.repeated} were answered 503 first, and came again).`,
    `Books: ${books.accepted} calls accepted = ${books.records} charges in Postgres = ` +
      `${books.fen} fen deducted, in Redis and in Postgres, for each account too.`,
    "",
    ...machine.map((line) => `- ${line}`),
  ].join("\n")
}

function speedRows(summaries: readonly Summary[]): Row[] {
  const row = (title: string, read: (summary: Summary) => string): Row => [
    title,
    ...summaries.map(read),
  ]
  return [
    row("calls/s", (each) => Math.round(each.callsPerSecond).toLocaleString("en")),
    row("latency ms p50 / p90 / p99 / p99.9", ({ latencyMs: { p50, p90, p99, p999 } }) =>
      [p50, p90, p99, p999].map(Math.round).join(" / "),
    ),
    row("decided within 1 / 2 / 5 / 10 / 25 ms", ({ decidedWithin }) =>
      decidedWithin.length === 0
        ? "–"
        : decidedWithin
            .filter(({ boundMs }) => [1, 2, 5, 10, 25].includes(boundMs))
            .map(({ share }) => percent(share, 1))
            .join(" / "),
    ),
    row("answers of another status", ({ unexpected }) => String(unexpected)),
    row("batch, items", ({ batchItems }) => (batchItems === null ? "–" : batchItems.toFixed(1))),
  ]
}

function costRows(summaries: readonly Summary[]): Row[] {
  return [
    ...PARTS.map(
      (part): Row => [
        `CPU µs/call: ${part}`,
        ...summaries.map(({ cpuMicros }) => cpuMicros[part].toFixed(1)),
      ],
    ),
    ["CPU µs/call: generator", ...summaries.map((each) => each.generatorMicros.toFixed(1))],
    ["generator, share of a core", ...summaries.map((each) => percent(each.generatorShare))],
    ["other programs, worst round", ...summaries.map((each) => percent(each.foreignShareMax))],
  ]
}

function flushRows(summaries: readonly Summary[]): Row[] {
  return [
    ["flush lag, most records", ...summaries.map(({ lagMax }) => String(lagMax.records))],
    ["flush lag, most seconds", ...summaries.map(({ lagMax }) => lagMax.seconds.toFixed(2))],
    ["lag 0 after load, ms", ...summaries.map((each) => String(Math.round(each.drainMsMax)))],
  ]
}

function percent(share: number, digits = 0): string {
  return `${(share * 100).toFixed(digits)} %`
}

/** Padded, so that it can be read as it stands. */
function table(head: Row, rows: readonly Row[]): string[] {
  const widths = head.map((cell, i) =>
    Math.max(cell.length, ...rows.map((row) => row[i]?.length ?? 0)),
  )
  const line = (row: Row) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)]
}

/** Where, when and of what a result is. */
export async function describeMachine({ redis, sql }: System): Promise<string[]> {
  const processors = cpus()
  const redisVersion = /redis_version:(\S+)/.exec(await redis.info("server"))?.[1]
  const [version] = await sql<{ server: string }[]>`
    select current_setting('server_version') as server
  `
  const gigabytes = Math.round(totalmem() / 2 ** 30)
  return [
    `commit ${commit()}`,
    `${new Date().toISOString().slice(0, 10)}, ${processors[0]?.model.trim()}, ` +
      `${processors.length} cores, ${gigabytes} GB, ${process.platform} ${release()}`,
    `Bun ${Bun.version}, Redis ${redisVersion} (appendfsync always), Postgres ${version?.server} ` +
      `(synchronous_commit on), autocannon ${autocannonVersion()}`,
  ]
}

function commit(): string {
  const git = (...args: string[]) =>
    execFileSync("git", args, { cwd: import.meta.dir, encoding: "utf8" }).trim()
  try {
    const isChanged = git("status", "--porcelain") !== ""
    return `${git("rev-parse", "--short=12", "HEAD")}${isChanged ? " with changes" : ""}`
  } catch {
    // An installation without git, or without its history, has no commit to name.
    return "unknown"
  }
}

function autocannonVersion(): string {
  const path = Bun.resolveSync("autocannon/package.json", import.meta.dir)
  return String(Object(JSON.parse(readFileSync(path, "utf8"))).version)
}

export function keepReport(report: string): void {
  const method =
    "Written by `npm run bench -- --write`; what it means is in [README.md](README.md)."
  writeFileSync(RESULTS, `# Benchmark results\n\n${method}\n\n${report}\n`)
}
