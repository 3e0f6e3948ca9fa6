import { statSync } from "node:fs"

/**
 * `npm test [part of a file name]...`: runs the test files in two processes at once, shows the
 * output of the files that fail, and ends with the sum of both.
 */

const SHARDS = 2
/** Real servers on a busy machine: a test that hangs is told from one that is slow. */
const TIMEOUT_MS = 30_000
const ROOT = Bun.fileURLToPath(new URL("..", import.meta.url))

type Result = { passed: number; failed: number; output: string; crash: string | null }

const files = filesMatching(process.argv.slice(2))
const results = await Promise.all(intoShards(files).map(runShard))
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

/** The larger a file, the longer it takes, roughly: each goes to the shard with the least so far. */
function intoShards(sorted: readonly string[]): string[][] {
  const shards = Array.from({ length: SHARDS }, () => ({ size: 0, files: [] as string[] }))
  for (const file of sorted) {
    const [least] = shards.toSorted((a, b) => a.size - b.size)
    if (least === undefined) continue
    least.files.push(file)
    least.size += sizeOf(file)
  }
  return shards.map((shard) => shard.files).filter((shard) => shard.length > 0)
}

function sizeOf(file: string): number {
  return statSync(`${ROOT}${file}`).size
}

async function runShard(shard: readonly string[]): Promise<Result> {
  const bun = [process.execPath, "test", `--timeout=${TIMEOUT_MS}`]
  const command = [...bun, ...shard.map((file) => `./${file}`)]
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
    // An error outside of a test, or a crash of the whole shard, is a failure as well.
    failed: failed + errors + (isCrash && errors === 0 ? 1 : 0),
    output,
    crash: isCrash ? `A test process ended with ${signal}: ${shard.join(" ")}` : null,
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
