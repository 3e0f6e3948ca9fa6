/** Cumulative buckets by their upper bound in text, as Prometheus's format has them. */
export type Histogram = { buckets: ReadonlyMap<string, number>; sum: number; count: number }

export type GatewayFigures = { batchItems: Histogram; chargeSeconds: Histogram }

/** The figures of all gateways together, from their `/metrics`. */
export async function readFigures(urls: readonly string[]): Promise<GatewayFigures> {
  const texts = await Promise.all(
    urls.map(async (url) => {
      const response = await fetch(`${url}/metrics`)
      if (!response.ok) throw new Error(`${url}/metrics answered ${response.status}`)
      return response.text()
    }),
  )
  return {
    batchItems: readHistogram(texts, "fengate_batch_items"),
    chargeSeconds: readHistogram(texts, "fengate_charge_seconds"),
  }
}

export function difference(after: Histogram, before: Histogram): Histogram {
  const buckets = new Map<string, number>()
  for (const [bound, count] of after.buckets) {
    buckets.set(bound, count - (before.buckets.get(bound) ?? 0))
  }
  return { buckets, sum: after.sum - before.sum, count: after.count - before.count }
}

function readHistogram(texts: readonly string[], name: string): Histogram {
  const line = new RegExp(`^${name}_(bucket|sum|count)(?:\\{le="([^"]+)"\\})? (\\S+)$`, "gm")
  const buckets = new Map<string, number>()
  let [sum, count] = [0, 0]
  for (const text of texts) {
    for (const [, part, bound = "", value] of text.matchAll(line)) {
      if (part === "sum") sum += Number(value)
      else if (part === "count") count += Number(value)
      else buckets.set(bound, (buckets.get(bound) ?? 0) + Number(value))
    }
  }
  return { buckets, sum, count }
}
