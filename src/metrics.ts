import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client"

/**
 * The figures of one process for Prometheus. On the hot path only numbers in plain arrays are
 * bumped (prom-client's histogram costs 0.5 µs a call); the registry is filled when it is read.
 */
export type Metrics = {
  contentType: string
  /** All figures in Prometheus's text format. */
  text(): Promise<string>
  chargeDecided(outcome: string, seconds: number): void
  batchSent(items: number): void
}

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

export function createMetrics(readLedger: () => Promise<LedgerFigures>): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: "fengate_process_" })
  const outcomes = new Map<string, number>()
  const seconds = createBuckets(CHARGE_SECONDS)
  const items = createBuckets(BATCH_ITEMS)

  new Counter({
    name: "fengate_charges_total",
    help: "Charges decided by this process, by outcome.",
    labelNames: ["outcome"],
    registers: [registry],
    collect() {
      this.reset()
      for (const [outcome, count] of outcomes) this.inc({ outcome }, count)
    },
  })
  const fillLedger = exportLedger(registry, readLedger)

  return {
    contentType: registry.contentType,
    async text() {
      await fillLedger()
      return [
        bucketText(seconds, "fengate_charge_seconds", "From a charge's request to its decision."),
        bucketText(items, "fengate_batch_items", "Charges in one script call."),
        await registry.metrics(),
      ].join("\n")
    },
    chargeDecided(outcome, spent) {
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      seconds.observe(spent)
    },
    batchSent: items.observe,
  }
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
function bucketText({ bounds, counts, sum }: Buckets, name: string, help: string): string {
  let total = 0
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`]
  for (const [i, count] of counts.entries()) {
    total += count
    lines.push(`${name}_bucket{le="${bounds[i] ?? "+Inf"}"} ${total}`)
  }
  return [...lines, `${name}_sum ${sum()}`, `${name}_count ${total}`, ""].join("\n")
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
