import type { Sql } from "../../db/connection.ts"
import { forgetResults } from "../../db/queries/forget-results.ts"
import { FORGET_RESULTS_MAX, IDEMPOTENCY_TTL_MS } from "../limits.ts"

/** Deletes the results of keyed requests that Redis has forgotten by now: no rebuild gives them back. */
export async function sweepResults(
  sql: Sql,
  { partitions, limit = FORGET_RESULTS_MAX }: { partitions: number; limit?: number },
): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) {
    const bounds = { partition, ttlMs: IDEMPOTENCY_TTL_MS, limit }
    while ((await forgetResults(sql, bounds)) === limit);
  }
}
