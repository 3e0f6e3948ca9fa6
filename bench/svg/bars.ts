import {
  element,
  label,
  legend,
  MARGIN,
  type Picture,
  picture,
  SERIES,
  shortNumber,
  TOP,
  WIDTH,
} from "./picture.ts"

export type Bar = {
  name: string
  /** Laid end to end, by the number of their series. */
  parts: readonly number[]
}

const NAMES_WIDTH = 280
const VALUES_WIDTH = 70
const BAR_HEIGHT = 20
const STEP = 34

/** A row for each bar, its name before it and its sum behind it; where all share a unit. */
export function bars(options: {
  file: string
  title: string
  note: string
  series: readonly string[]
  bars: readonly Bar[]
}): Picture {
  const { series, bars: rows } = options
  const sums = rows.map(({ parts }) => parts.reduce((sum, part) => sum + part, 0))
  const scale = (WIDTH - 2 * MARGIN - NAMES_WIDTH - VALUES_WIDTH) / Math.max(...sums, 1e-9)
  const body = rows.map((bar, row) =>
    drawBar(bar, { y: TOP + row * STEP, scale, sum: sums[row] ?? 0 }),
  )
  const end = TOP + rows.length * STEP
  const isNamed = series.length > 1
  return picture({
    ...options,
    height: end + (isNamed ? 36 : 8),
    body: isNamed ? [...body, legend(series, end + 16)] : body,
  })
}

function drawBar(
  { name, parts }: Bar,
  { y, scale, sum }: { y: number; scale: number; sum: number },
): string {
  const middle = y + BAR_HEIGHT / 2 + 4
  let x = MARGIN + NAMES_WIDTH
  const drawn = parts.map((part, series) => {
    const width = Math.max(0, part * scale)
    const from = x
    x += width
    return element("rect", {
      class: `s${series % SERIES}`,
      x: from.toFixed(1),
      y,
      width: width.toFixed(1),
      height: BAR_HEIGHT,
    })
  })
  return [
    label(name, { x: MARGIN, y: middle }),
    ...drawn,
    label(shortNumber(sum), { x: (x + 8).toFixed(1), y: middle }),
  ].join("")
}
