import { cpus } from "node:os"
import {
  YIELD_FACTOR,
  YIELD_IDLE_SHARE_MAX,
  YIELD_MS_MAX,
  YIELD_RATE_MIN,
  YIELD_RECORDS_MAX,
  YIELD_RECORDS_MIN,
} from "../limits.ts"

/**
 * Whether the flusher steps back. In a burst, on cores that are all busy, what flushes takes the time
 * of what decides: a charge costs Postgres twice what it costs Redis. Where charges come faster than
 * it could follow anyway, it lets them: what is decided is durable. But only so many records may
 * wait, and only for so long; then the flusher catches up first.
 */
export function createYielding({ nowMs = () => performance.now(), busy = createBusy() } = {}) {
  let sinceMs: number | null = null
  let isSpent = false
  let last = { atMs: nowMs(), written: 0 }
  return { pauseMs }

  /** How long to wait after a flush that took `spentMs`. `written`: records in all, by Redis. */
  function pauseMs({ spentMs, behind, written }: Progress): number {
    const isBusy = busy()
    const isBurst = ratePerSecond(written) >= YIELD_RATE_MIN
    if (behind < YIELD_RECORDS_MIN) {
      sinceMs = null
      isSpent = false
      return 0
    }
    if (!isBurst || !isBusy || isSpent || behind > YIELD_RECORDS_MAX) return 0
    sinceMs ??= nowMs()
    isSpent = nowMs() - sinceMs > YIELD_MS_MAX
    return isSpent ? 0 : spentMs * YIELD_FACTOR
  }

  function ratePerSecond(written: number): number {
    const now = { atMs: nowMs(), written }
    const rate = ((now.written - last.written) * 1_000) / (now.atMs - last.atMs)
    last = now
    return rate
  }
}

/** `behind`: records that Postgres does not have yet. */
type Progress = { spentMs: number; behind: number; written: number }

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
