import { type Static, Type } from "@sinclair/typebox"
import { AggregatorRegistry } from "prom-client"

/**
 * What a process counted, as prom-client's `getMetricsAsJSON` says it: it can be sent to another
 * process, and summed there.
 */
export const Figures = Type.Array(
  Type.Object({
    name: Type.String(),
    help: Type.String(),
    type: Type.String(),
    aggregator: Type.String(),
    values: Type.Array(
      Type.Object({
        value: Type.Number(),
        labels: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()])),
        metricName: Type.Optional(Type.String()),
      }),
    ),
  }),
)

export type Figures = Static<typeof Figures>

/** What was counted since a process began: it is still true after the process has ended. */
export function lasting(figures: Figures): Figures {
  return figures.filter(({ type }) => type === "counter" || type === "histogram")
}

/** One list with the sums, by name and labels. */
export function sumOf(lists: readonly Figures[]): Figures {
  const sums = new Map<string, Figures[number]>()
  for (const figure of lists.flat()) {
    const known = sums.get(figure.name)
    sums.set(figure.name, known === undefined ? structuredClone(figure) : added(known, figure))
  }
  return [...sums.values()]
}

function added(known: Figures[number], { values }: Figures[number]): Figures[number] {
  for (const value of values) {
    const key = keyOf(value)
    const same = known.values.find((other) => keyOf(other) === key)
    if (same === undefined) known.values.push({ ...value })
    else same.value += value.value
  }
  return known
}

function keyOf({ labels, metricName = "" }: Figures[number]["values"][number]): string {
  return JSON.stringify([metricName, labels])
}

export function textOf(figures: Figures): Promise<string> {
  return AggregatorRegistry.aggregate([figures]).metrics()
}
