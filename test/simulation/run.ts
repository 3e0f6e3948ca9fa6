import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { patchGlobals } from "./globals.ts"
import { raiseStandIns } from "./stand-ins.ts"
import { addTotals, NO_TOTALS, printTotals, readTotals, type Totals } from "./totals.ts"

/**
 * `bun test/simulation/run.ts --seeds 1000 --from 1`: see README.md beside it. The seeds are shared out to
 * one process a core; `--jobs 1` runs them in this one.
 */

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    jobs: { type: "string", default: String(availableParallelism()) },
    trace: { type: "boolean", default: false },
    child: { type: "boolean", default: false },
  },
})
const [count, from] = [Number(values.seeds), Number(values.from)]
const jobs = values.trace ? 1 : Math.min(Number(values.jobs), count)
const now = performance.now.bind(performance)
const startedAt = now()
const totals = jobs > 1 ? await runInChildren() : await runHere()
if (values.child) console.log(JSON.stringify(totals))
else printTotals(totals, { elapsedMs: now() - startedAt })
process.exit(totals.failing.length === 0 ? 0 : 1)

/** This process has no clock of its own any more. */
async function runHere(): Promise<Totals> {
  raiseStandIns()
  patchGlobals()
  const { runSeeds } = await import("./seeds.ts")
  return runSeeds({ from, count, isTraced: values.trace })
}

async function runInChildren(): Promise<Totals> {
  const share = Math.ceil(count / jobs)
  const starts = Array.from({ length: Math.ceil(count / share) }, (_, i) => from + i * share)
  const all = await Promise.all(
    starts.map(async (start) => {
      const seeds = Math.min(share, from + count - start)
      const range = ["--from", String(start), "--seeds", String(seeds)]
      const command = [process.execPath, import.meta.path, ...range, "--jobs", "1", "--child"]
      const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "inherit" })
      const lines = (await child.stdout.text()).trimEnd().split("\n")
      const last = lines.pop() ?? ""
      if (lines.length > 0) console.log(lines.join("\n"))
      return readTotals(last)
    }),
  )
  return all.reduce(addTotals, NO_TOTALS)
}
