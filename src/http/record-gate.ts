import { Problem } from "../errors.ts"
import type { RecordState } from "../ledger/behind.ts"
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

/** It asks only where a connection has ended since it was last sure, and once for all that wait. */
export function createRecordGate(isRecordBehind: () => Promise<RecordState>): RecordGate {
  let doubts = 1
  let dispelled = 0
  let asking: { doubts: number; state: Promise<RecordState> } | null = null
  return {
    doubt() {
      doubts++
    },
    async require() {
      if (dispelled === doubts) return
      if (asking?.doubts !== doubts) asking = { doubts, state: settled() }
      const asked = asking
      const state = await asked.state.finally(() => {
        if (asking === asked) asking = null
      })
      if (state === "behind") {
        throw new Problem("billing_unavailable", {
          detail: "The record may lack something and is being compared. Nothing was changed.",
          headers: { "Retry-After": "5" },
        })
      }
      if (state === "level") dispelled = Math.max(dispelled, asked.doubts)
    },
  }

  async function settled(): Promise<RecordState> {
    const deadlineAt = performance.now() + RECORD_WAIT_MS
    for (;;) {
      const state = await isRecordBehind()
      if (state !== "behind" || performance.now() > deadlineAt) return state
      await Bun.sleep(RECORD_POLL_MS)
    }
  }
}
