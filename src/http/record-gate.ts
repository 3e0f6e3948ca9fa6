import { Problem } from "../errors.ts"
import { RECORD_POLL_MS, RECORD_WAIT_MS } from "../limits.ts"

/** Lets nothing be changed in a Postgres that was restored, before it is filled up again. */
export type RecordGate = {
  /** A connection to Postgres has ended: what answers next may be another one. */
  doubt(): void
  /**
   * Waits a while for the keeper, who compares whatever server of Postgres is new; throws a `Problem` 503
   * while that is behind what Redis knows that it had.
   */
  require(): Promise<void>
}

/** It asks only where a connection has ended since it was last sure. */
export function createRecordGate(
  isRecordBehind: () => Promise<"behind" | "level" | "unknown">,
): RecordGate {
  let doubts = 1
  let dispelled = 0
  return {
    doubt() {
      doubts++
    },
    async require() {
      if (dispelled === doubts) return
      const asked = doubts
      const state = await settled()
      if (state === "behind") {
        throw new Problem("billing_unavailable", {
          detail: "The record was restored and is being filled up again. Nothing was changed.",
          headers: { "Retry-After": "5" },
        })
      }
      if (state === "level") dispelled = asked
    },
  }

  async function settled() {
    const deadlineAt = performance.now() + RECORD_WAIT_MS
    for (;;) {
      const state = await isRecordBehind()
      if (state !== "behind" || performance.now() > deadlineAt) return state
      await Bun.sleep(RECORD_POLL_MS)
    }
  }
}
