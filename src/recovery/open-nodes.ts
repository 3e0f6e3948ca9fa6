import type { Redis } from "ioredis"
import { readWatermarks, type Watermark } from "../../db/queries/read-watermarks.ts"
import { setRefilling } from "../../db/queries/set-refilling.ts"
import type { Meta } from "../ledger/states.ts"
import { messageOf } from "../ticker.ts"
import { examine, judge } from "./diagnose.ts"
import { noteOpen, openingOf, openNode } from "./nodes.ts"
import { readPlace } from "./places.ts"
import { type Claimed, fencePartition, recoverPartition } from "./recover.ts"
import { refill } from "./refill.ts"
import { requireDurable } from "./requirements.ts"
import type { Log, Stores } from "./stores.ts"

/** Partitions are open, and whether Postgres has all that Redis has is not known yet. */
export class NotCompared extends Error {}

/**
 * Nodes that must be opened, or opened anew; `distrusted`: partitions that must not go on as they are, and
 * why.
 */
type Work = { nodes: ReadonlySet<Redis>; distrusted: ReadonlyMap<number, string> }
type Intact = { partition: number; meta: Meta; watermark: Watermark }
/** `reason` null: nothing says that Postgres was restored, and it may have been. */
type Behind = { watermark: Watermark; meta: Meta; reason: string | null }

/**
 * First what is quick, on each node: its partitions that are in order wait for nothing. Then a server of
 * Postgres that is new is compared, and the other partitions are built anew. What is wrong with one node is
 * thrown once all have been looked at; `NotCompared` where that is all.
 */
export async function openNodes(
  stores: Stores,
  { nodes, distrusted }: Work,
  log: Log,
): Promise<void> {
  const comparing: Behind[] = []
  const building: { claimed: Claimed; opening: number }[] = []
  const failures: unknown[] = []
  for (const node of nodes) {
    try {
      await requireDurable(node)
      const opened = await openIntact({ stores, node, distrusted, log })
      const { claimed, uncompared, opening } = opened
      comparing.push(...uncompared)
      building.push(...claimed.map((each) => ({ claimed: each, opening })))
    } catch (error) {
      failures.push(error)
    }
  }
  for (const each of comparing) {
    await refill(stores, each, log).catch((error) =>
      failures.push(new NotCompared(messageOf(error))),
    )
  }
  for (const { claimed, opening } of building) {
    await recoverPartition(stores, claimed, { opening, log }).catch((error) => failures.push(error))
  }
  const [first] = failures
  if (first !== undefined) throw failures.find((each) => !(each instanceof NotCompared)) ?? first
}

/** Opens a node for those of its partitions that are in order, and fences the others. */
async function openIntact({
  stores,
  node,
  distrusted,
  log,
}: {
  stores: Stores
  node: Redis
  distrusted: ReadonlyMap<number, string>
  log: Log
}): Promise<{ claimed: Claimed[]; uncompared: Behind[]; opening: number }> {
  const { redis, sql } = stores
  const intact: Intact[] = []
  const behind: Behind[] = []
  const uncompared: Behind[] = []
  const claimed: Claimed[] = []
  for (const { partition } of await readWatermarks(sql)) {
    if (redis.of(partition) !== node) continue
    const found = await examine(stores, partition)
    const { watermark } = found
    const verdict = judge(found)
    const distrust = distrusted.get(partition)
    if (verdict.status === "postgres_back") {
      behind.push({ watermark, ...verdict })
    } else if (verdict.status === "intact" && distrust === undefined) {
      const { meta } = verdict
      intact.push({ partition, meta, watermark })
      if (found.isCompared && !watermark.isRefilling) continue
      // Before a node gets an opening: one that this Postgres has forgotten must not be given again.
      await setRefilling(sql, partition)
      uncompared.push({ watermark, meta, reason: null })
    } else {
      const reason = distrust ?? ("reason" in verdict ? verdict.reason : null)
      const lost = { watermark, claimedInRedis: found.claim, reason }
      claimed.push(await fencePartition(stores, lost))
    }
  }
  for (const each of behind) {
    const meta = await refill(stores, each, log)
    const { partition } = each.watermark
    intact.push({ partition, meta, watermark: await readPlace(sql, partition) })
  }
  return { claimed, uncompared, opening: await openWith(stores, node, intact) }
}

/**
 * Only a node that has no scripts is opened: on one that has, its other partitions are being charged. But
 * one that somebody doubts is opened anew, so that all of them tell what they have seen.
 */
async function openWith(stores: Stores, node: Redis, intact: readonly Intact[]): Promise<number> {
  const isDoubted = intact.some(({ watermark }) => watermark.isOpen && watermark.opening === 0)
  const known = isDoubted ? 0 : await openingOf(stores, node)
  if (known === 0) return openNode(stores, node, intact)
  for (const { partition, meta, watermark } of intact) {
    if (watermark.isOpen && watermark.opening === known) continue
    await noteOpen(stores.sql, { partition, meta, opening: known })
  }
  return known
}
