import type { Redis } from "ioredis"
import { markOpen } from "../../db/queries/mark-open.ts"
import { raiseOpening } from "../../db/queries/raise-opening.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { readMeta } from "../ledger/meta.ts"
import { SCRIPT_NAMES, scriptHashes, scriptText } from "../ledger/scripts.ts"
import type { Meta } from "../ledger/states.ts"
import type { Stores } from "./stores.ts"

/** Whether the node has the scripts of this opening. Redis forgets them when it restarts. */
export async function hasScripts(node: Redis, opening: number): Promise<boolean> {
  if (opening === 0) return false
  const loaded = await node.call("SCRIPT", "EXISTS", ...Object.values(scriptHashes(opening)))
  return Array.isArray(loaded) && loaded.every((flag) => Number(flag) === 1)
}

/**
 * Opens a node whose partitions are all verified or fenced: loads the scripts under a number that no
 * node ever had, then tells the processes. Between the flush of what it may still have and that, nothing
 * runs on it: so what is noted is where the streams stand when they begin to be written again.
 */
export async function openNode(
  { redis, sql }: Stores,
  node: Redis,
  intact: readonly { partition: number }[],
): Promise<number> {
  await node.script("FLUSH", "SYNC")
  const opening = await raiseOpening(sql)
  const metas = await Promise.all(intact.map(({ partition }) => readMeta(redis, partition)))
  for (const name of SCRIPT_NAMES) await node.script("LOAD", scriptText(name, opening))
  for (const [i, { partition }] of intact.entries()) {
    const meta = metas[i]
    if (meta) await noteOpen(sql, { partition, meta, opening })
  }
  return opening
}

/**
 * The opening that a node runs, by what Postgres says of its partitions; 0 where it does not have those
 * scripts. A partition that has come here from another node, with a higher number, makes it 0 as well.
 */
export async function openingOf({ redis, sql }: Stores, node: Redis): Promise<number> {
  const here = (await readWatermarks(sql)).filter(({ partition }) => redis.of(partition) === node)
  const opening = Math.max(0, ...here.map((watermark) => watermark.opening))
  return (await hasScripts(node, opening)) ? opening : 0
}

export async function noteOpen(
  sql: Stores["sql"],
  { partition, meta, opening }: { partition: number; meta: Meta; opening: number },
): Promise<void> {
  const { generation, entryNumber, written: records } = meta
  await markOpen(sql, { partition, generation, opening, entryNumber, records })
}
