import { type Result, simulate } from "./simulate.ts"
import { addTotals, NO_TOTALS, type Totals } from "./totals.ts"

/** Runs worlds one after the other, and tells of each that fails. */
export async function runSeeds({
  from,
  count,
  failingMax,
  isTraced,
}: {
  from: number
  count: number
  failingMax: number
  isTraced: boolean
}): Promise<Totals> {
  let totals = NO_TOTALS
  const strays: unknown[] = []
  process.on("unhandledRejection", (error) => strays.push(error))
  for (let seed = from; seed < from + count; seed++) {
    if (totals.failing.length >= failingMax) break
    const result = simulate(seed, { isTraced })
    // What nobody caught is told between two turns of the real event loop.
    await turn()
    const failures = [
      ...result.failures,
      ...strays
        .splice(0)
        .map((error) => `unhandled: ${error instanceof Error ? error.stack : String(error)}`),
    ]
    totals = addTotals(totals, totalsOf(result, failures.length > 0))
    if (isTraced) console.log(result.trace.join("\n"))
    if (failures.length > 0) show({ ...result, failures })
  }
  const { user, system } = process.cpuUsage()
  return { ...totals, cpuMs: (user + system) / 1_000 }
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
  return { ...counts, seeds: 1, faults: faults.length, events, virtualMs, cpuMs: 0, failing }
}

function show({ seed, failures, faults }: Result): void {
  const told = failures.map((failure) => `- ${failure}\n`).join("")
  console.error(`seed ${seed} fails:\n${told}faults: ${faults.join("; ") || "none"}`)
  console.error(`replay: npm run test:simulation -- --seed ${seed}\n`)
}
