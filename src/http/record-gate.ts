import { Problem } from "../errors.ts"

/** Lets nothing be changed in a Postgres that was restored, before it is filled up again. */
export type RecordGate = {
  /** A connection to Postgres has ended: what answers next may be another one. */
  doubt(): void
  /** Throws a `Problem` 503 while Postgres is behind what Redis knows that it had. */
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
      const state = await isRecordBehind()
      if (state === "behind") {
        throw new Problem("billing_unavailable", {
          detail: "The record was restored and is being filled up again. Nothing was changed.",
          headers: { "Retry-After": "5" },
        })
      }
      if (state === "level") dispelled = asked
    },
  }
}
