import { BATCH_ITEMS_MAX, LINGER_ITEMS_MIN, LINGER_MS_MAX } from "../limits.ts"

/**
 * How long a batch waits for more. A script call costs Redis about 200 µs, its fsync included, and
 * this process 50, whatever is in it. Waiting for as many charges as are usually under way at once,
 * up to LINGER_MS_MAX, makes batches of 60 at 64 connections instead of 30; their latency is no
 * higher, because all of them cost less (bench/RESULTS.md). Where few callers are usual, nobody waits.
 */
export function createLinger() {
  /** How many charges were under way when the last batch was answered. */
  let usual = 0
  let enough: (() => void) | null = null
  return { gather, joined, answered }

  /** Resolves when the batch that collects is worth sending; `collected` counts what it holds. */
  async function gather(collected: () => number): Promise<void> {
    // What the same turn of the event loop still brings travels along in any case.
    await new Promise(setImmediate)
    const count = collected()
    if (count === 0 || usual < LINGER_ITEMS_MIN || count >= usual) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, LINGER_MS_MAX)
      enough = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    enough = null
  }

  /** A batch that collects has so many items now. */
  function joined(count: number): void {
    if (count >= usual) enough?.()
  }

  function answered(underWay: number): void {
    usual = Math.min(BATCH_ITEMS_MAX, underWay)
  }
}
