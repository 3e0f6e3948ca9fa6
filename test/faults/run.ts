import { readFileSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { type Attempt, attempt } from "./attempt.ts"
import { FAULTS, SHORT_FAULTS } from "./catalogue/index.ts"
import { chanceFrom, newSeed } from "./chance.ts"
import type { Fault } from "./fault.ts"
import { promptness, sumOf, table, tell } from "./report.ts"
import { describeSite, type Site, startSite } from "./site.ts"
import { isClean, lineOf } from "./verdict.ts"

/**
 * `npm run test:faults -- [--times N] [--only words] [--short] [--shared] [--write]`: each fault many
 * times, each fault on stores of its own, or all of them on the same. Ends with 1 where something is not
 * as it must be.
 */

const { values: options } = parseArgs({
  options: {
    times: { type: "string", default: "10" },
    only: { type: "string", default: "" },
    short: { type: "boolean", default: false },
    shared: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
})
const RESULTS = join(import.meta.dir, "RESULTS.md")
const README = join(import.meta.dir, "..", "..", "README.md")
const [BEGIN, END] = ["<!-- faults -->", "<!-- /faults -->"]
const COMMIT = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"]).stdout.toString().trim()
const seed = newSeed()
const chance = chanceFrom(seed)
const times = Number(options.times)
const attempts: Attempt[] = []
const skipped: string[] = []
/** Each of them takes minutes. */
const SLOW_TIMES = 2
let failures = 0
let site: Site | null = null

console.log(`SEED=${seed}`)
const catalogue = options.short ? SHORT_FAULTS : FAULTS
for (const fault of catalogue.filter(({ name }) => name.includes(options.only))) {
  await tryOften(fault).catch((error: unknown) => fail(fault, error))
  if (options.write) write()
}
await leave()
console.log(["", ...summary({ isWhole: true })].join("\n"))
process.exit(failures === 0 && attempts.length > 0 ? 0 : 1)

/** The whole table here, and the condensed one in the README of the repository. */
function write(): void {
  writeFileSync(RESULTS, `# Fault matrix\n\n${summary({ isWhole: true }).join("\n")}\n`)
  const text = readFileSync(README, "utf8")
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)]
  if (from < 0 || to < from) return
  const lines = [BEGIN, ...summary({ isWhole: false }), ""]
  writeFileSync(README, `${text.slice(0, from)}${lines.join("\n")}${text.slice(to)}`)
}

async function tryOften(fault: Fault): Promise<void> {
  for (let left = timesOf(fault); left > 0; left--) {
    site ??= await startSite()
    const current = site
    const reason = fault.impossible?.(current) ?? null
    if (reason !== null) {
      skipped.push(`${fault.name}: not tried, because ${reason}.`)
      break
    }
    if (!(await tryOnce(current, fault))) await leave()
  }
  if (!options.shared) await leave()
}

/** The next one begins with stores of its own. */
async function leave(): Promise<void> {
  const left = site
  site = null
  await left?.stop()
}

/** The slow ones are tried less often. */
function timesOf({ isSlow, ways = 1 }: Fault): number {
  if (options.short) return times
  return isSlow === true ? Math.min(times, SLOW_TIMES) : Math.max(times, ways)
}

/** False where its stores are not to be used any more. */
async function tryOnce(site: Site, fault: Fault): Promise<boolean> {
  try {
    const tried = await attempt({ site, fault, chance, isLong: !options.short })
    attempts.push(tried)
    console.log(tell(tried).join("\n"))
    if (isClean(tried.verdict)) return true
  } catch (error) {
    fail(fault, error)
    console.log(await describeSite(site))
    return false
  }
  failures++
  console.log(await describeSite(site))
  return false
}

function fail({ name }: Fault, error: unknown): void {
  failures++
  console.log(`FAIL ${name}: ${error instanceof Error ? error.message : String(error)}`)
}

function summary({ isWhole }: { isWhole: boolean }): string[] {
  const total = sumOf(attempts.map(({ verdict }) => verdict))
  const calls = attempts.reduce((sum, tried) => sum + tried.calls, 0)
  const machine = `${cpus().length} cores, which others use at the same time`
  const when = `${new Date().toISOString().slice(0, 10)}, commit ${COMMIT}, SEED=${seed}`
  return [
    `${attempts.length} faults, ${failures} of them failed, under ${calls} calls; ${when}, ${machine}.`,
    "",
    ...table(attempts, { isWhole }),
    ...(skipped.length === 0 ? [] : ["", ...skipped]),
    "",
    `${promptness(attempts)}.`,
    "",
    "```",
    lineOf(total),
    "```",
  ]
}
