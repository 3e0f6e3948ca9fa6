import type { Sql } from "../../db/connection.ts"
import { clearDrifts } from "../../db/queries/clear-drifts.ts"
import { noteDrifts } from "../../db/queries/note-drifts.ts"
import type { Drift } from "./states.ts"

type Log = (message: string) => void

/** Writes down accounts that drift, and raises the alarm for those of which nobody knew. */
export async function raiseDrifts(sql: Sql, drifts: readonly Drift[], log: Log): Promise<void> {
  if (drifts.length === 0) return
  const fresh = new Set(await noteDrifts(sql, drifts))
  for (const { accountId, driftFen, detail } of drifts) {
    if (fresh.has(accountId)) log(`ALARM ${accountId}: drift of ${driftFen} fen: ${detail}`)
  }
}

export async function settleDrifts(
  sql: Sql,
  accountIds: readonly string[],
  log: Log,
): Promise<void> {
  if (accountIds.length === 0) return
  for (const accountId of await clearDrifts(sql, accountIds)) log(`${accountId} agrees again`)
}
