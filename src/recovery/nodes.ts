import { markOpen } from "../../db/queries/mark-open.ts"
import { raiseOpening } from "../../db/queries/raise-opening.ts"
import { readMeta } from "../ledger/meta.ts"
import { SCRIPT_NAMES, scriptHashes, scriptText } from "../ledger/scripts.ts"
import type { Meta } from "../ledger/states.ts"
import type { Stores } from "./stores.ts"

/** Whether the node has the scripts of this opening. Redis forgets them when it restarts. */
export async function hasScripts({ redis }: Stores, opening: number): Promise<boolean> {
  if (opening === 0) return false
  const loaded = await redis.call("SCRIPT", "EXISTS", ...Object.values(scriptHashes(opening)))
  return Array.isArray(loaded) && loaded.every((flag) => Number(flag) === 1)
}

/**
 * Opens a node whose partitions are all verified or fenced: loads the scripts under a number that no
 * node ever had, then tells the processes. Between the flush of what it may still have and that, nothing
 * runs on it: so what is noted is where the streams stand when they begin to be written again.
 */
export async function openNode(
  { redis, sql }: Stores,
  intact: readonly { partition: number }[],
): Promise<number> {
  await redis.script("FLUSH", "SYNC")
  const opening = await raiseOpening(sql)
  const metas = await Promise.all(intact.map(({ partition }) => readMeta(redis, partition)))
  for (const name of SCRIPT_NAMES) await redis.script("LOAD", scriptText(name, opening))
  for (const [i, { partition }] of intact.entries()) {
    const meta = metas[i]
    if (meta) await noteOpen(sql, { partition, meta, opening })
  }
  return opening
}

export async function noteOpen(
  sql: Stores["sql"],
  { partition, meta, opening }: { partition: number; meta: Meta; opening: number },
): Promise<void> {
  const { generation, entryNumber, written: records } = meta
  await markOpen(sql, { partition, generation, opening, entryNumber, records })
}
