/**
 * Counts of durations in buckets that are narrow everywhere: up to 255 µs one bucket a microsecond,
 * above it 128 for each doubling. So a percentile is off by less than 0.8 % at any size, and a
 * minute's worth of calls takes no more memory than a second's.
 */
export type Histogram = {
  record(micros: number): void
  snapshot(): HistogramCounts
}

/** What a histogram holds, as JSON may carry it: pairs of a bucket and its count. */
export type HistogramCounts = { count: number; maxMicros: number; buckets: [number, number][] }

export type Percentiles = { p50: number; p90: number; p99: number; p999: number }

const LINEAR = 256
const LINEAR_BITS = 8
/** Beyond the longest timeout: 2^32 µs are 71 minutes. */
const BUCKETS = LINEAR + (LINEAR / 2) * (32 - LINEAR_BITS)

export function createHistogram(): Histogram {
  const counts = new Float64Array(BUCKETS)
  let count = 0
  let maxMicros = 0
  return { record, snapshot }

  function record(micros: number): void {
    const whole = Math.max(0, Math.floor(micros))
    count++
    if (whole > maxMicros) maxMicros = whole
    const bucket = bucketOf(whole)
    counts[bucket] = (counts[bucket] ?? 0) + 1
  }

  function snapshot(): HistogramCounts {
    const buckets: [number, number][] = []
    for (const [bucket, value] of counts.entries()) if (value > 0) buckets.push([bucket, value])
    return { count, maxMicros, buckets }
  }
}

/** Of all that they have seen together. */
export function merge(histograms: readonly HistogramCounts[]): HistogramCounts {
  const counts = new Map<number, number>()
  for (const { buckets } of histograms) {
    for (const [bucket, value] of buckets) counts.set(bucket, (counts.get(bucket) ?? 0) + value)
  }
  return {
    count: histograms.reduce((sum, { count }) => sum + count, 0),
    maxMicros: Math.max(0, ...histograms.map(({ maxMicros }) => maxMicros)),
    buckets: [...counts].sort(([left], [right]) => left - right),
  }
}

/** The time within which `share` of all were done: the upper end of its bucket, never above the max. */
export function microsAt({ count, maxMicros, buckets }: HistogramCounts, share: number): number {
  let left = Math.ceil(count * share)
  for (const [bucket, value] of buckets) {
    left -= value
    if (left <= 0) return Math.min(upperEnd(bucket), maxMicros)
  }
  return maxMicros
}

/** In milliseconds. */
export function percentilesOf(counts: HistogramCounts): Percentiles {
  const ms = (share: number) => microsAt(counts, share) / 1_000
  return { p50: ms(0.5), p90: ms(0.9), p99: ms(0.99), p999: ms(0.999) }
}

function bucketOf(micros: number): number {
  if (micros < LINEAR) return micros
  const bounded = Math.min(micros, 2 ** 32 - 1)
  const doublings = 31 - Math.clz32(bounded) - (LINEAR_BITS - 1)
  return doublings * (LINEAR / 2) + Math.floor(bounded / 2 ** doublings)
}

function upperEnd(bucket: number): number {
  if (bucket < LINEAR) return bucket
  const doublings = Math.floor(bucket / (LINEAR / 2)) - 1
  return (bucket - doublings * (LINEAR / 2) + 1) * 2 ** doublings - 1
}
