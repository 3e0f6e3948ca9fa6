import type { Entry } from "./read-entries.ts"

/** Remembers for which months Postgres has room. */
export type Months = {
  /** Before what is in these entries is written. */
  ensure(entries: readonly Pick<Entry, "atMs">[]): Promise<void>
  /** A Postgres that was restored may have fewer. */
  clear(): void
}

export function createMonths(ensureMonth: (atMs: number) => Promise<unknown>): Months {
  const known = new Set<string>()
  return {
    async ensure(entries) {
      for (const { atMs } of entries) {
        const month = new Date(atMs).toISOString().slice(0, 7)
        if (known.has(month)) continue
        await ensureMonth(atMs)
        known.add(month)
      }
    },
    clear: () => known.clear(),
  }
}
