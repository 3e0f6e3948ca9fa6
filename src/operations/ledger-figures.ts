import type { Sql } from "../../db/connection.ts"
import { readDrift } from "../../db/queries/read-drift.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { RECONCILE_SILENT_MS } from "../limits.ts"
import type { LedgerFigures } from "../metrics.ts"

/** What `/metrics` says of the ledger. What a store does not answer is left out, never guessed. */
export async function readLedgerFigures({
  sql,
  ledger,
}: {
  sql: Sql
  ledger: Pick<Ledger, "readLags" | "hasSlot">
}): Promise<LedgerFigures> {
  const [opening, lags, driftFen] = await Promise.all([
    readOpening(sql).catch(() => null),
    ledger.readLags(),
    readDrift(sql, RECONCILE_SILENT_MS).catch(() => null),
  ])
  const partitions = lags.map((lag, partition) => ({
    partition,
    isFenced:
      lag === null ||
      !ledger.hasSlot(partition) ||
      (opening !== null && lag.generation !== opening.generations[partition]),
    lagRecords: lag?.records ?? null,
    lagSeconds: lag?.seconds ?? null,
  }))
  return { partitions, driftFen }
}
