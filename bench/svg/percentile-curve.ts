import { type HistogramCounts, microsAt } from "../generator/histogram.ts"
import { lines } from "./lines.ts"
import type { Picture } from "./picture.ts"

/** Where 9 in 10, 99 in 100 and so on are done: the x axis counts nines. */
const MARKS = [
  { at: 0, name: "0 %" },
  { at: Math.log10(2), name: "50 %" },
  { at: 1, name: "90 %" },
  { at: 2, name: "99 %" },
  { at: 3, name: "99.9 %" },
  { at: 4, name: "99.99 %" },
]
const STEPS_PER_NINE = 20
/** Beyond it so few calls are left that the curve says nothing. */
const CALLS_BEYOND_MIN = 10

/** Latency in ms below which a share of all calls is, for each series. */
export function percentileCurve(options: {
  file: string
  title: string
  note: string
  series: readonly { name: string; latency: HistogramCounts }[]
}): Picture {
  const count = Math.max(...options.series.map(({ latency }) => latency.count), 1)
  const nines = Math.min(4, Math.max(1, Math.log10(count / CALLS_BEYOND_MIN)))
  const xAxis = MARKS.filter(({ at }) => at <= nines + 1e-9)
  const last = xAxis.at(-1)?.at ?? 1
  return lines({
    ...options,
    xAxis,
    lines: options.series.map(({ name, latency }) => ({
      name,
      points: Array.from({ length: Math.round(last * STEPS_PER_NINE) + 1 }, (_, step) => {
        const x = step / STEPS_PER_NINE
        return { x, y: microsAt(latency, 1 - 10 ** -x) / 1_000 }
      }),
    })),
  })
}
