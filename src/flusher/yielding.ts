import { cpus } from "node:os"
import {
  YIELD_FACTOR,
  YIELD_IDLE_SHARE_MAX,
  YIELD_MS_MAX,
  YIELD_RECORDS_MAX,
  YIELD_RECORDS_MIN,
} from "../limits.ts"

/**
 * Whether the flusher steps back. In a burst, on cores that are all busy, what flushes takes the time
 * of what decides: a charge costs Postgres twice what it costs Redis. What is decided is durable, so
 * it may wait; but only so many records, and only for so long, and then the flusher catches up first.
 */
export function createYielding({ nowMs = () => performance.now(), busy = createBusy() } = {}) {
  let sinceMs: number | null = null
  let isSpent = false
  return { pauseMs }

  /** How long to wait after a flush that took `spentMs`, with so many records still behind it. */
  function pauseMs({ spentMs, behind }: { spentMs: number; behind: number }): number {
    const isBusy = busy()
    if (behind < YIELD_RECORDS_MIN) {
      sinceMs = null
      isSpent = false
      return 0
    }
    if (!isBusy || isSpent || behind > YIELD_RECORDS_MAX) return 0
    sinceMs ??= nowMs()
    isSpent = nowMs() - sinceMs > YIELD_MS_MAX
    return isSpent ? 0 : spentMs * YIELD_FACTOR
  }
}

/** True where this machine's cores had nothing left since the last look. */
function createBusy(): () => boolean {
  let last = readTimes()
  return () => {
    const now = readTimes()
    const [idle, all] = [now.idle - last.idle, now.all - last.all]
    last = now
    return all > 0 && idle / all < YIELD_IDLE_SHARE_MAX
  }
}

function readTimes(): { idle: number; all: number } {
  let [idle, all] = [0, 0]
  for (const { times } of cpus()) {
    idle += times.idle
    all += times.idle + times.user + times.nice + times.sys + times.irq
  }
  return { idle, all }
}
