import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { patchGlobals } from "./globals.ts"
import { editsOf } from "./planted.ts"
import { raiseStandIns } from "./stand-ins.ts"
import { addTotals, NO_TOTALS, printTotals, readTotals, type Totals } from "./totals.ts"

/**
 * `npm run test:simulation -- --seeds 10000`, or `--minutes 10`, or `--seed 4711`: see README.md beside it.
 * A process of its own runs some hundred worlds, one after the other; there are as many as cores.
 */

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "10000" },
    minutes: { type: "string" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    failing: { type: "string", default: "10" },
    plant: { type: "string" },
    jobs: { type: "string", default: String(availableParallelism()) },
    child: { type: "boolean", default: false },
  },
})
const CHUNK_SEEDS = 250
const failingMax = Number(values.failing)
const now = performance.now.bind(performance)
const startedAt = now()

if (values.child) {
  const totals = await runHere(Number(values.from), Number(values.seeds))
  console.log(JSON.stringify(totals))
  process.exit(0)
}
const all =
  values.seed === undefined ? await runInChildren() : await runHere(Number(values.seed), 1)
const from = Number(values.seed ?? values.from)
printTotals(all, { from, elapsedMs: now() - startedAt })
process.exit(all.failing.length === 0 ? 0 : 1)

/** This process has no clock of its own any more. One world alone is told with all that happened in it. */
async function runHere(first: number, count: number): Promise<Totals> {
  raiseStandIns(values.plant === undefined ? [] : editsOf(values.plant))
  patchGlobals()
  const { runSeeds } = await import("./seeds.ts")
  return runSeeds({ from: first, count, failingMax, isTraced: values.seed !== undefined })
}

async function runInChildren(): Promise<Totals> {
  const first = Number(values.from)
  const forMs = values.minutes === undefined ? null : 60_000 * Number(values.minutes)
  const end = forMs === null ? first + Number(values.seeds) : Number.POSITIVE_INFINITY
  let next = first
  let sum = NO_TOTALS
  await Promise.all(Array.from({ length: Number(values.jobs) }, work))
  return sum

  async function work(): Promise<void> {
    const isOver = () => next >= end || (forMs !== null && now() - startedAt > forMs)
    while (!isOver() && sum.failing.length < failingMax) {
      const [start, count] = [next, Math.min(CHUNK_SEEDS, end - next)]
      next += count
      const totals = await runChild(start, count)
      sum = addTotals(sum, totals)
    }
  }
}

async function runChild(start: number, count: number): Promise<Totals> {
  const range = ["--from", String(start), "--seeds", String(count)]
  const others = ["--failing", values.failing, ...(values.plant ? ["--plant", values.plant] : [])]
  const command = [process.execPath, import.meta.path, ...range, ...others, "--child"]
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "inherit" })
  return readTotals(await child.stdout.text())
}
