/** What all worlds of a run came to. */
export type Totals = Record<(typeof COUNTED)[number], number> & { failing: number[] }

/** What the books say of each request, against what its caller was told. */
export type Counts = Record<(typeof BOOKS)[number], number>

const BOOKS = [
  ...(["requests", "lost", "duplicated", "phantom", "refusedCharged", "overdraft"] as const),
  // Records that Redis lost although it had answered them: as they were counted, and as it was.
  ...(["unknown", "resolved", "detectedLoss", "actualLoss"] as const),
]
const COUNTED = [...BOOKS, "seeds", "faults", "events", "virtualMs", "cpuMs"] as const

export const NO_COUNTS: Counts = {
  ...{ requests: 0, lost: 0, duplicated: 0, phantom: 0, refusedCharged: 0, overdraft: 0 },
  ...{ unknown: 0, resolved: 0, detectedLoss: 0, actualLoss: 0 },
}
export const NO_TOTALS: Totals = {
  ...{ ...NO_COUNTS, seeds: 0, faults: 0, events: 0, virtualMs: 0, cpuMs: 0 },
  failing: [],
}

export function addTotals(left: Totals, right: Totals): Totals {
  const sum: Totals = {
    ...left,
    failing: [...left.failing, ...right.failing].toSorted((a, b) => a - b),
  }
  for (const name of COUNTED) sum[name] += right[name]
  return sum
}

/** What a child has printed last. */
export function readTotals(line: string): Totals {
  const told: unknown = JSON.parse(line)
  const totals: Totals = { ...NO_TOTALS, failing: [] }
  const values = new Map(Object.entries(Object(told)))
  for (const name of COUNTED) totals[name] = Number(values.get(name))
  const failing = values.get("failing")
  if (Array.isArray(failing)) totals.failing = failing.map(Number)
  return totals
}

export function printTotals(
  totals: Totals,
  { from, elapsedMs }: { from: number; elapsedMs: number },
): void {
  const { seeds, requests, faults, events, virtualMs, cpuMs, failing } = totals
  const perMinute = (ms: number) => Math.round((60_000 * seeds) / ms)
  const hours = (virtualMs / 3_600_000).toFixed(1)
  console.log(lineOf(totals))
  console.log(
    `seeds ${from} to ${from + seeds - 1}: ${requests} requests, ${faults} faults, ${events} events in ${hours} hours of their own; ${perMinute(elapsedMs)} seeds a minute, ${perMinute(cpuMs)} in a minute of a core`,
  )
  if (failing.length > 0) console.log(`FAILED: seeds ${failing.join(", ")}`)
}

function lineOf(counts: Counts): string {
  const { lost, duplicated, phantom, refusedCharged, overdraft, unknown, resolved } = counts
  const { detectedLoss, actualLoss } = counts
  const loss =
    detectedLoss === actualLoss
      ? `detected_loss=actual_loss=${actualLoss}`
      : `detected_loss=${detectedLoss} actual_loss=${actualLoss}`
  return `lost=${lost} duplicated=${duplicated} phantom=${phantom} refused_charged=${refusedCharged} overdraft=${overdraft} unknown=${unknown} resolved=${resolved} ${loss}`
}
