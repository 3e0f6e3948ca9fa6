import { expect, test } from "bun:test"
import { createHistogram } from "../../bench/generator/histogram.ts"
import { bars } from "../../bench/svg/bars.ts"
import { lines } from "../../bench/svg/lines.ts"
import { percentileCurve } from "../../bench/svg/percentile-curve.ts"
import { ticksTo } from "../../bench/svg/picture.ts"

const histogram = createHistogram()
for (let i = 1; i <= 2_000; i++) histogram.record(i)

const PICTURES = [
  bars({
    ...{ file: "bars.svg", title: 'A <title> & "more"', note: "µs", series: ["one", "two"] },
    bars: [
      { name: "<b>", parts: [1, 2] },
      { name: "nothing", parts: [0, 0] },
    ],
  }),
  percentileCurve({
    ...{ file: "curve.svg", title: "Latency", note: "ms" },
    series: [{ name: "all", latency: histogram.snapshot() }],
  }),
  lines({
    ...{ file: "empty.svg", title: "Nothing", note: "", xAxis: [{ at: 0, name: "0" }] },
    lines: [{ name: "none", points: [] }],
  }),
]

test("a picture is well-formed XML whose numbers are numbers, whatever is drawn", () => {
  for (const { svg } of PICTURES) {
    const open: string[] = []
    for (const [, slash, name = ""] of svg.matchAll(/<(\/?)([a-z]+)[^>]*>/g)) {
      if (slash === "") open.push(name)
      else expect(open.pop()).toBe(name)
    }
    expect(open).toEqual([])
    expect(svg).not.toMatch(/NaN|Infinity|undefined/)
  }
  expect(PICTURES[0]?.svg).toContain("A &lt;title&gt; &amp; &quot;more&quot;")
})

test("a picture draws its ground and its text for a light page and for a dark one", () => {
  for (const { svg } of PICTURES) {
    const [light = "", dark = ""] = svg.split("@media (prefers-color-scheme: dark)")
    for (const scheme of [light, dark]) expect(scheme).toMatch(/\.ground \{ fill: #\w{6}; \} text/)
  }
})

test("an axis has a few round marks, the last of which is not below the highest value", () => {
  for (const max of [0, 0.004, 1, 7, 10, 99, 4_321, 1e6]) {
    const marks = ticksTo(max)
    expect(marks.length).toBeGreaterThanOrEqual(2)
    expect(marks.length).toBeLessThanOrEqual(6)
    expect(marks[0]).toBe(0)
    expect(marks.at(-1)).toBeGreaterThanOrEqual(max)
  }
})
