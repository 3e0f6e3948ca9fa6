import { Value } from "@sinclair/typebox/value"
import { Counter, Gauge, Registry } from "prom-client"
import { Figures, textOf } from "./figures.ts"

/**
 * The figures of one process for Prometheus. On the hot path only numbers in plain arrays are
 * bumped (prom-client's histogram costs 0.5 µs a call); the registry is filled when it is read.
 */
export type Metrics = {
  contentType: string
  /** All figures in Prometheus's text format: of all gateways, where they can be asked. */
  text(): Promise<string>
  /** What this process alone counted. */
  figures(): Promise<Figures>
  chargeDecided(outcome: string, seconds: number): void
  /** One more of a counter of `COUNTERS`; of few, fixed outcomes, because each is a series. */
  counted(counter: keyof typeof COUNTERS, outcome: string): void
  batchSent(items: number): void
}

/** Another counter is another line here. */
const COUNTERS = {
  charges: { name: "fengate_charges_total", help: "Charges decided, by outcome." },
  holds: { name: "fengate_holds_total", help: "Holds decided, by outcome." },
  captures: { name: "fengate_captures_total", help: "Captures decided, by outcome." },
  voids: { name: "fengate_voids_total", help: "Voids decided, by outcome." },
  calls: { name: "fengate_calls_total", help: "Calls of /api, by how they ended." },
} as const

const CHARGE_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5]
const BATCH_ITEMS = [1, 2, 4, 8, 16, 32, 64, 128]

/** What the stores say when the figures are read; null where they cannot be asked. */
export type LedgerFigures = {
  partitions: readonly {
    partition: number
    isFenced: boolean
    lagRecords: number | null
    lagSeconds: number | null
  }[]
  driftFen: number | null
}

/** The sums of all gateways of this installation, and how many of them did not answer in time. */
export type Gathered = { figures: Figures; gateways: number; silent: number }

export type MetricsDeps = {
  readLedger(): Promise<LedgerFigures>
  /** Asks the other gateways too; null where that failed. Without it this process answers alone. */
  gather?: (() => Promise<Gathered | null>) | undefined
}

export function createMetrics({ readLedger, gather }: MetricsDeps): Metrics {
  const own = new Registry()
  const counts = new Map(Object.keys(COUNTERS).map((name) => [name, new Map<string, number>()]))
  const seconds = createBuckets(CHARGE_SECONDS)
  const items = createBuckets(BATCH_ITEMS)
  for (const [key, { name, help }] of Object.entries(COUNTERS)) {
    exportCounter(own, { name, help, counts: counts.get(key) ?? new Map() })
  }
  exportProcess(own)
  const shared = new Registry()
  const fillGateways = exportGateways(shared)
  const fillLedger = exportLedger(shared, readLedger)

  return {
    contentType: shared.contentType,
    figures,
    async text() {
      const [gathered] = await Promise.all([
        gather === undefined ? alone() : gather(),
        fillLedger(),
      ])
      fillGateways(gathered)
      // Without the others the counters would seem to fall: then they are left out.
      const counted = gathered === null ? "" : await textOf(gathered.figures)
      return [counted, await shared.metrics()].join("\n")
    },
    chargeDecided(outcome, spent) {
      counted("charges", outcome)
      seconds.observe(spent)
    },
    counted,
    batchSent: items.observe,
  }

  function counted(counter: keyof typeof COUNTERS, outcome: string): void {
    const outcomes = counts.get(counter)
    outcomes?.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  }

  async function figures(): Promise<Figures> {
    return [
      figureOf(seconds, "fengate_charge_seconds", "From a charge's request to its decision."),
      figureOf(items, "fengate_batch_items", "Charges in one script call."),
      ...Value.Parse(Figures, await own.getMetricsAsJSON()),
    ]
  }

  async function alone(): Promise<Gathered> {
    return { figures: await figures(), gateways: 1, silent: 0 }
  }
}

function exportCounter(
  registry: Registry,
  { name, help, counts }: { name: string; help: string; counts: ReadonlyMap<string, number> },
): void {
  new Counter({
    name,
    help,
    labelNames: ["outcome"],
    registers: [registry],
    collect() {
      this.reset()
      for (const [outcome, count] of counts) this.inc({ outcome }, count)
    },
  })
}

/** Sums over the gateways; what prom-client says of Node's insides is not measured by Bun. */
function exportProcess(registry: Registry): void {
  new Counter({
    name: "fengate_process_cpu_seconds_total",
    help: "CPU time of the gateway processes, in seconds.",
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage()
      this.reset()
      this.inc((user + system) / 1_000_000)
    },
  })
  new Gauge({
    name: "fengate_process_resident_memory_bytes",
    help: "Resident memory of the gateway processes, in bytes.",
    registers: [registry],
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
}

type Buckets = ReturnType<typeof createBuckets>

function createBuckets(bounds: readonly number[]) {
  const counts = new Float64Array(bounds.length + 1)
  let sum = 0
  return {
    bounds,
    counts,
    sum: () => sum,
    observe(value: number): void {
      let i = 0
      while (i < bounds.length && value > (bounds[i] ?? 0)) i++
      counts[i] = (counts[i] ?? 0) + 1
      sum += value
    },
  }
}

/** prom-client's histogram cannot be given counts, so that this one is written by itself. */
function figureOf({ bounds, counts, sum }: Buckets, name: string, help: string): Figures[number] {
  let total = 0
  const values: Figures[number]["values"] = []
  for (const [i, count] of counts.entries()) {
    total += count
    const labels = { le: bounds[i] ?? "+Inf" }
    values.push({ metricName: `${name}_bucket`, labels, value: total })
  }
  values.push({ metricName: `${name}_sum`, labels: {}, value: sum() })
  values.push({ metricName: `${name}_count`, labels: {}, value: total })
  return { name, help, type: "histogram", aggregator: "sum", values }
}

function exportGateways(registry: Registry): (gathered: Gathered | null) => void {
  const gateways = new Gauge({
    name: "fengate_gateways",
    help: "Gateway processes of this installation, by whether they told their figures just now.",
    labelNames: ["state"],
    registers: [registry],
  })
  return (gathered) => {
    gateways.reset()
    if (gathered === null) return
    gateways.set({ state: "answered" }, gathered.gateways - gathered.silent)
    gateways.set({ state: "silent" }, gathered.silent)
  }
}

type Fill = () => Promise<void>

function exportLedger(registry: Registry, readLedger: () => Promise<LedgerFigures>): Fill {
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name, help, labelNames, registers: [registry] })
  const perPartition = ["partition"]
  const lagRecords = gauge(
    "fengate_flush_lag_records",
    "Change records that Postgres does not have yet.",
    perPartition,
  )
  const lagSeconds = gauge(
    "fengate_flush_lag_seconds",
    "Age of the oldest record that Postgres does not have yet.",
    perPartition,
  )
  const fenced = gauge(
    "fengate_partition_fenced",
    "1 where a partition refuses all charges.",
    perPartition,
  )
  const drift = gauge("fengate_drift_fen", "What the books are out by, in fen; 0 or an alarm.")

  return async () => {
    const { partitions, driftFen } = await readLedger()
    // A figure that cannot be read is left out: an old one would say that all is well.
    for (const each of [lagRecords, lagSeconds, fenced]) each.reset()
    for (const { partition, ...figures } of partitions) {
      fenced.set({ partition }, figures.isFenced ? 1 : 0)
      if (figures.lagRecords !== null) lagRecords.set({ partition }, figures.lagRecords)
      if (figures.lagSeconds !== null) lagSeconds.set({ partition }, figures.lagSeconds)
    }
    if (driftFen === null) drift.remove()
    else drift.set(driftFen)
  }
}
