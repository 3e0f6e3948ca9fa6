import { statSync } from "node:fs"

/**
 * `npm test [part of a file name]...`: runs the test files in three processes at once, shows the
 * output of the files that fail, and ends with the sum of both.
 */

/** Half of their time tests wait for servers: so many keep two cores busy. */
const WORKERS = 3
/** So many that the workers end at about the same time, so few that starting servers is no matter. */
const SHARES = 12
const LONG = ["test/faults/", "test/model/", "test/cluster/", "test/simulation/", "test/instances"]
/** Real servers on a busy machine: a test that hangs is told from one that is slow. */
const TIMEOUT_MS = 30_000
const ROOT = Bun.fileURLToPath(new URL("..", import.meta.url))

type Result = { passed: number; failed: number; output: string; crash: string | null }

const files = filesMatching(process.argv.slice(2))
const shares = intoShares(files)
const results = (await Promise.all(Array.from({ length: WORKERS }, () => work(shares)))).flat()
for (const { output, crash } of results) {
  for (const section of failingSections(output)) console.log(section)
  if (crash !== null) console.log(`${output}\n${crash}`)
}
const passed = results.reduce((sum, result) => sum + result.passed, 0)
const failed = results.reduce((sum, result) => sum + result.failed, 0)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)

function filesMatching(filters: readonly string[]): string[] {
  const found = [...new Bun.Glob("test/**/*.test.ts").scanSync({ cwd: ROOT })]
  return found
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .toSorted((a, b) => sizeOf(b) - sizeOf(a))
}

/** Those that take a minute and more come first, each by itself; then the others, some at a time. */
function intoShares(sorted: readonly string[]): string[][] {
  const isLong = (file: string) => LONG.some((part) => file.startsWith(part))
  const shares: string[][] = Array.from({ length: SHARES }, () => [])
  for (const [i, file] of sorted.filter((each) => !isLong(each)).entries()) {
    shares[i % SHARES]?.push(file)
  }
  const long = sorted.filter(isLong).map((file) => [file])
  return [...long, ...shares.filter((share) => share.length > 0)]
}

/** Takes the next share when it is done with one. */
async function work(shares: string[][]): Promise<Result[]> {
  const done: Result[] = []
  for (let next = shares.shift(); next !== undefined; next = shares.shift()) {
    done.push(await runShare(next))
  }
  return done
}

function sizeOf(file: string): number {
  return statSync(`${ROOT}${file}`).size
}

async function runShare(share: readonly string[]): Promise<Result> {
  const bun = [process.execPath, "test", `--timeout=${TIMEOUT_MS}`]
  const command = [...bun, ...share.map((file) => `./${file}`)]
  const child = Bun.spawn(command, {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, NO_COLOR: "1" },
  })
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()])
  const output = `${stdout}${stderr}`
  const [passed, failed, errors] = [
    count(output, "pass"),
    count(output, "fail"),
    count(output, "error"),
  ]
  const code = await child.exited
  const isCrash = code !== 0 && failed === 0
  const signal = child.signalCode === null ? `code ${code}` : child.signalCode
  return {
    passed,
    // An error outside of a test, or a crash of the whole process, is a failure as well.
    failed: failed + errors + (isCrash && errors === 0 ? 1 : 0),
    output,
    crash: isCrash ? `A test process ended with ${signal}: ${share.join(" ")}` : null,
  }
}

/** From the summary at the end of `bun test`: lines such as ` 12 pass`. */
function count(output: string, word: string): number {
  const lines = [...output.matchAll(new RegExp(`^ *(\\d+) ${word}s?$`, "gm"))]
  return Number(lines.at(-1)?.[1] ?? 0)
}

/** The output of one file begins with its name. */
function failingSections(output: string): string[] {
  const sections = output.split(/^(?=test\/\S+\.test\.ts:$)/m)
  return sections
    .filter((section) => /^\(fail\)|^# Unhandled error/m.test(section))
    .map((section) => section.replaceAll(/^\(pass\).*\n/gm, ""))
}
