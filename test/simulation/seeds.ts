import { type Result, simulate } from "./simulate.ts"
import { addTotals, NO_TOTALS, type Totals } from "./totals.ts"

const TRACE_LINES_SHOWN = 300
const FAILING_SEEDS_MAX = 5

/** Runs worlds one after the other; one that fails is run once more, for its trace. */
export async function runSeeds({
  from,
  count,
  isTraced,
}: {
  from: number
  count: number
  isTraced: boolean
}): Promise<Totals> {
  let totals = NO_TOTALS
  const strays: unknown[] = []
  process.on("unhandledRejection", (error) => strays.push(error))
  for (let seed = from; seed < from + count; seed++) {
    const result = simulate(seed, { isTraced })
    // What nobody caught is told between two turns of the real event loop.
    await turn()
    const failures = [
      ...result.failures,
      ...strays.splice(0).map((error) => `unhandled: ${String(error)}`),
    ]
    const isFailing = failures.length > 0
    totals = addTotals(totals, totalsOf(result, isFailing))
    if (isTraced) console.log(result.trace.join("\n"))
    if (!isFailing) continue
    const again = isTraced ? result : simulate(seed, { isTraced: true })
    await turn()
    strays.length = 0
    show({ ...again, failures }, { isTraced })
    if (totals.failing.length >= FAILING_SEEDS_MAX) break
  }
  return totals
}

/** `setImmediate` of this process is that of the world. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.addEventListener("message", () => {
      port1.close()
      resolve()
    })
    port1.start()
    port2.postMessage(null)
  })
}

function totalsOf(result: Result, isFailing: boolean): Totals {
  const { seed, counts, events, virtualMs, faults } = result
  const failing = isFailing ? [seed] : []
  return { ...counts, seeds: 1, faults: faults.length, events, virtualMs, failing }
}

function show(
  { seed, failures, faults, trace }: Result,
  { isTraced }: { isTraced: boolean },
): void {
  if (!isTraced) console.log(trace.slice(-TRACE_LINES_SHOWN).join("\n"))
  console.log(`\nseed ${seed} fails:`)
  for (const failure of failures) console.log(`- ${failure}`)
  console.log(`faults: ${faults.join("; ") || "none"}`)
  console.log(`replay: bun test/simulation/run.ts --seeds 1 --from ${seed} --trace\n`)
}
