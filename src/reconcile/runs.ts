import type { Sql } from "../../db/connection.ts"
import { claimRun } from "../../db/queries/claim-run.ts"
import { failRun } from "../../db/queries/fail-run.ts"
import { finishRun } from "../../db/queries/finish-run.ts"
import { noteRun } from "../../db/queries/note-run.ts"
import { releaseRun } from "../../db/queries/release-run.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { RECONCILE_SILENT_MS } from "../limits.ts"
import { messageOf } from "../ticker.ts"
import { raiseDrifts } from "./drifts.ts"
import { type Progress, type Recomputed, recomputeBooks } from "./recompute.ts"

type Stores = { sql: Sql; redis: RedisNodes }
type Log = (message: string) => void

/** Whoever carries out a run was asked to stop. */
class Stopped extends Error {}

/**
 * Carries out a run that was noted already: recomputes the books and writes down what was found. With
 * nothing found, the position up to which the books are proven moves on.
 */
export async function carryOut(
  stores: Stores,
  {
    id,
    log,
    onPage,
  }: { id: string; log: Log; onPage?: (progress: Progress) => Promise<void> | void },
): Promise<Recomputed> {
  const { sql } = stores
  const recomputed = await recomputeBooks(stores, {
    async onPage(progress) {
      await noteRun(sql, { id, ...progress })
      await onPage?.(progress)
    },
  })
  const { accounts, records, driftFen, findings, drifts } = recomputed
  await raiseDrifts(sql, drifts, log)
  const proven = findings.length === 0 ? recomputed.proven : []
  await finishRun(sql, { id, accounts, records, driftFen, findings, proven })
  return recomputed
}

/**
 * Carries out the runs that administrators ask for, one at a time. It rests after each page for as long
 * as the page took: flushing goes on beside it.
 */
export function createRunner({ log, ...stores }: Stores & { log: Log }) {
  let isStopping = false
  return {
    look,
    stop() {
      isStopping = true
    },
  }

  async function look(): Promise<void> {
    const id = await claimRun(stores.sql, RECONCILE_SILENT_MS)
    if (id === null) return
    log(`reconciliation ${id} begins`)
    try {
      const { driftFen, findings } = await carryOut(stores, { id, log, onPage: createRest() })
      for (const finding of findings) log(`reconciliation ${id}: ${finding}`)
      if (findings.length > 0) {
        log(`ALARM reconciliation ${id}: ${findings.length} findings, drift of ${driftFen} fen`)
      } else log(`reconciliation ${id}: the books balance`)
    } catch (error) {
      if (error instanceof Stopped) return await releaseRun(stores.sql, id)
      await failRun(stores.sql, { id, failure: messageOf(error) })
      throw error
    }
  }

  function createRest(): () => Promise<void> {
    let since = performance.now()
    return async () => {
      if (isStopping) throw new Stopped()
      await Bun.sleep(performance.now() - since)
      since = performance.now()
    }
  }
}
