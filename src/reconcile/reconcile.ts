import type { Sql } from "../../db/connection.ts"
import { reconcilePartition } from "../../db/queries/reconcile-partition.ts"
import { RECONCILE_RECORDS_MAX } from "../limits.ts"

/**
 * Proves the books while they are written: moves `reconciled_position` of each partition behind the
 * watermark, and raises the alarm at the first fen that does not fit.
 */
export async function reconcile(
  sql: Sql,
  { partitions, log }: { partitions: number; log(message: string): void },
): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) {
    const { driftFen, missing } = await reconcilePartition(sql, {
      partition,
      limit: RECONCILE_RECORDS_MAX,
    })
    if (driftFen !== 0 || missing !== 0) {
      log(`ALARM partition ${partition}: drift of ${driftFen} fen, ${missing} records missing`)
    }
  }
}
