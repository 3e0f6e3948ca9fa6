/** Choices of a run, all from one seed. What the machine does in between is its own. */
export type Chance = {
  /** From 0 to below 1. */
  next(): number
  /** A whole number, both ends included. */
  between(least: number, most: number): number
  pick<Item>(items: readonly Item[]): Item
  /** True in this share of all times. */
  is(share: number): boolean
}

/** mulberry32: small, and the same everywhere. */
export function chanceFrom(seed: number): Chance {
  let state = seed
  return { next, between, pick, is: (share) => next() < share }

  function next(): number {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }

  function between(least: number, most: number): number {
    return least + Math.floor(next() * (most - least + 1))
  }

  function pick<Item>(items: readonly Item[]): Item {
    const item = items[between(0, items.length - 1)]
    if (item === undefined) throw new RangeError("there is nothing to pick from")
    return item
  }
}

export function newSeed(): number {
  return Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
}
