import { execFileSync } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { cpus, release, totalmem } from "node:os"
import { join } from "node:path"
import type { Options } from "./options.ts"
import { findNginx } from "./peers/start.ts"
import type { Section } from "./section.ts"
import type { System } from "./system.ts"
import { table } from "./table.ts"

export type Run = {
  options: Options
  sections: readonly Section[]
  books: string
  machine: readonly string[]
  minutes: number
}

const RESULTS = join(import.meta.dir, "RESULTS.md")
const PICTURES = join(import.meta.dir, "pictures")

/** The whole result as text in Markdown: what the terminal shows is what RESULTS.md keeps. */
export function writeReport({ options, sections, books, machine, minutes }: Run): string {
  const { connections, seconds, rounds, gateways, accounts } = options
  const targets = sections.flatMap((section) => section.targets)
  return [
    "",
    ...(targets.length === 0 ? [] : describeTargets(targets)),
    `${connections} connections, ${gateways} gateway process(es), ${accounts} accounts, medians of ` +
      `${rounds} rounds of ${seconds} s; ${minutes.toFixed(1)} minutes in all.`,
    "",
    books,
    "",
    ...machine.map((line) => `- ${line}`),
    ...sections.flatMap(({ title, lines }) => ["", `## ${title}`, "", ...lines]),
  ].join("\n")
}

function describeTargets(targets: Section["targets"]): string[] {
  return [
    ...table(
      ["target", "bound", "measured", ""],
      targets.map(({ text, bound, value, isMet }) => [
        text,
        bound,
        value >= 1_000 ? Math.round(value).toLocaleString("en") : value.toFixed(2),
        isMet ? "ok" : "**missed**",
      ]),
    ),
    "",
  ]
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
      "(synchronous_commit on)",
    ["autocannon", "elysia", "ioredis", "postgres"]
      .map(packageNamed)
      .concat(nginxVersion())
      .join(", "),
  ]
}

function commit(): string {
  const git = (...args: string[]) =>
    execFileSync("git", args, {
      cwd: import.meta.dir,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim()
  try {
    const isChanged = git("status", "--porcelain") !== ""
    return `${git("rev-parse", "--short=12", "HEAD")}${isChanged ? " with changes" : ""}`
  } catch {
    // An installation without git, or without its history, has no commit to name.
    return "unknown"
  }
}

/** With its version, as it is installed. */
function packageNamed(name: string): string {
  const path = Bun.resolveSync(`${name}/package.json`, import.meta.dir)
  return `${name} ${Object(JSON.parse(readFileSync(path, "utf8"))).version}`
}

function nginxVersion(): string[] {
  const nginx = findNginx()
  if (nginx === null) return []
  const version = /nginx\/(\S+)/.exec(Bun.spawnSync([nginx, "-v"]).stderr.toString())?.[1]
  return [`nginx ${version}`]
}

export function keepReport(report: string, sections: readonly Section[]): void {
  const method =
    "Written by `npm run bench -- --write`; what it means is in [README.md](README.md)."
  writeFileSync(RESULTS, `# Benchmark results\n\n${method}\n${report}\n`)
  mkdirSync(PICTURES, { recursive: true })
  for (const { file, svg } of sections.flatMap(({ pictures = [] }) => pictures)) {
    writeFileSync(join(PICTURES, file), svg)
  }
}
