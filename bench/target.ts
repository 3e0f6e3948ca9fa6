/** What is promised of a figure. Missed ones are shown as missed. */
export type Target = { text: string; value: number; bound: string; isMet: boolean }

export function atMost(text: string, values: readonly number[], max: number): Target {
  const value = median(values)
  return { text, value, bound: `≤ ${bound(max)}`, isMet: value <= max }
}

export function atLeast(text: string, values: readonly number[], min: number): Target {
  const value = median(values)
  return { text, value, bound: `≥ ${bound(min)}`, isMet: value >= min }
}

function bound(value: number): string {
  return value.toLocaleString("en")
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}
