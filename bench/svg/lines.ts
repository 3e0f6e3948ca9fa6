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
  ticksTo,
  WIDTH,
} from "./picture.ts"

export type Line = { name: string; points: readonly { x: number; y: number }[] }

type Axis = readonly { at: number; name: string }[]

const AXIS_WIDTH = 56
const PLOT_HEIGHT = 240
const LEFT = MARGIN + AXIS_WIDTH
/** Half of the last mark's name stands beyond it. */
const RIGHT = WIDTH - MARGIN - 24

/** Lines over one x axis, whose marks are given, and a y axis from 0. */
export function lines(options: {
  file: string
  title: string
  note: string
  xAxis: Axis
  lines: readonly Line[]
}): Picture {
  const { xAxis, lines: drawn } = options
  const ys = drawn.flatMap(({ points }) => points.map(({ y }) => y))
  const yAxis = ticksTo(Math.max(...ys, 1e-9)).map((at) => ({ at, name: shortNumber(at) }))
  const place = {
    x: scaleOf(xAxis, { from: LEFT, to: RIGHT }),
    y: scaleOf(yAxis, { from: TOP + PLOT_HEIGHT, to: TOP }),
  }
  const end = TOP + PLOT_HEIGHT
  return picture({
    ...options,
    height: end + 60,
    body: [
      ...yAxis.map(({ at, name }) => drawLevel(name, place.y(at))),
      ...xAxis.map(({ at, name }) =>
        label(name, {
          class: "faint",
          x: place.x(at).toFixed(1),
          y: end + 18,
          "text-anchor": "middle",
        }),
      ),
      ...drawn.map(({ points }, series) => drawLine(points, { place, series })),
      legend(
        drawn.map(({ name }) => name),
        end + 46,
      ),
    ],
  })
}

type Place = { x(value: number): number; y(value: number): number }

function scaleOf(axis: Axis, { from, to }: { from: number; to: number }) {
  const [first, last] = [axis.at(0)?.at ?? 0, axis.at(-1)?.at ?? 1]
  return (value: number) => from + ((value - first) / (last - first || 1)) * (to - from)
}

function drawLevel(name: string, y: number): string {
  const level = y.toFixed(1)
  return (
    element("line", { class: "line", x1: LEFT, x2: RIGHT, y1: level, y2: level }) +
    label(name, { class: "faint", x: LEFT - 8, y: (y + 4).toFixed(1), "text-anchor": "end" })
  )
}

function drawLine(
  points: Line["points"],
  { place, series }: { place: Place; series: number },
): string {
  const steps = points.map(({ x, y }, i) => {
    const command = i === 0 ? "M" : "L"
    return `${command}${place.x(x).toFixed(1)} ${place.y(y).toFixed(1)}`
  })
  return element("path", { class: `curve c${series % SERIES}`, d: steps.join("") })
}
