import type { Sql } from "../../db/connection.ts"
import { auditPartitions } from "../../db/queries/audit-partition.ts"
import { listConnected } from "../../db/queries/list-connected.ts"
import { pageAccountPartitions } from "../../db/queries/page-account-partitions.ts"
import { readStop } from "../../db/queries/read-stop.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { type Repartition, repartition } from "../../db/queries/repartition.ts"
import { createMoves, stageMoves } from "../../db/queries/stage-moves.ts"
import { auditOf, SYSTEM } from "../audit.ts"
import { parseAccountId, partitionOf } from "../ids.ts"
import { metaKey } from "../ledger/keys.ts"
import { REPARTITION_PAGE } from "../limits.ts"
import { examine, judge } from "../recovery/diagnose.ts"
import { drain } from "../recovery/drain.ts"
import { openingOf, openNode } from "../recovery/nodes.ts"
import { type Claimed, fencePartition, recoverPartition } from "../recovery/recover.ts"
import { refill } from "../recovery/refill.ts"
import { Refused } from "./command.ts"
import { OPS_NAME, type Stores } from "./stores.ts"

type Log = (line: string) => void

/**
 * Fences each partition, flushes what it still has, and opens a generation that is built anew.
 * `isFenced`: they were fenced for this, so that nothing is lost that would be told.
 */
export async function rebuildPartitions(
  stores: Stores,
  { partitions, isFenced, log }: { partitions: number; isFenced: boolean; log: Log },
): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) {
    const claimed = { ...(await claim(stores, partition, log)), ...(isFenced && { reason: null }) }
    await recoverPartition(stores, claimed, {
      opening: await ensureOpening(stores, partition),
      log,
    })
    log(`${partition + 1} of ${partitions} partitions are built anew`)
  }
}

/** The opening of the partition's node, which gets its scripts where it has none. */
export async function ensureOpening(stores: Stores, partition: number): Promise<number> {
  const node = stores.redis.of(partition)
  return (await openingOf(stores, node)) || openNode(stores, node, [])
}

/** What cannot be flushed first must not be fenced: it would be lost. */
async function claim(stores: Stores, partition: number, log: Log): Promise<Claimed> {
  const found = await examine(stores, partition)
  const verdict = judge(found)
  const stop = await readStop(stores.sql, partition)
  if (stop !== null) {
    throw new Refused(
      `Flushing of partition ${partition} is stopped (${stop}): end that first, then ops resume ${partition}.`,
    )
  }
  if (verdict.status === "postgres_back" || found.watermark.isRefilling) {
    throw new Refused(
      `Postgres lacks records of partition ${partition} that Redis has: start the program, which fills it up again.`,
    )
  }
  if (verdict.status === "intact" && !found.isCompared) {
    await refill(stores, { ...found, meta: verdict.meta, reason: null }, log)
    return claim(stores, partition, log)
  }
  const reason = verdict.status === "lost" ? verdict.reason : null
  return fencePartition(stores, {
    ...{ watermark: found.watermark, claimedInRedis: found.claim, reason },
  })
}

/** Gives the ledger another number of partitions. Nothing may be connected that charges or flushes. */
export async function repartitionLedger(
  stores: Stores & { connection: Sql },
  { from, to, log }: { from: number; to: number; log: Log },
): Promise<void> {
  await requireNobody(stores)
  if (from === to) return
  await requireBalance(stores.sql)
  const claims: Move["claims"][number][] = []
  for (let partition = 0; partition < from; partition++) {
    await requireFlushed(stores, { partition, from }, log)
    const { claim: number } = await claim(stores, partition, log)
    const place = (await readWatermarks(stores.sql)).find((row) => row.partition === partition)
    if (place === undefined) throw new Refused(`Postgres has no partition ${partition}.`)
    const { entryNumber, entryId } = place
    claims.push({ partition, claim: number, entryNumber, entryId })
  }
  log(`all of ${from} partitions are flushed and fenced`)
  await move(stores.connection, { from, to, claims, log })
  for (let partition = to; partition < from; partition++) await removeKeys(stores, partition)
}

async function requireNobody({ sql, redis }: Stores): Promise<void> {
  const inPostgres = await listConnected(sql, [OPS_NAME, "fengate opening"])
  const clients = (await Promise.all(redis.all().map((node) => node.client("LIST")))).join("\n")
  const inRedis = [...clients.matchAll(/ name=fengate-(\S+)/g)]
    .map(([, name = ""]) => `fengate ${name}`)
    .filter((name) => name !== OPS_NAME)
  const names = [...new Set([...inPostgres.map(({ name }) => name), ...inRedis])].toSorted()
  if (names.length === 0) return
  throw new Refused(
    `Another number of partitions needs a ledger that nothing uses, and connected are: ${names.join(", ")}. Stop the program everywhere first.`,
  )
}

async function requireBalance(sql: Sql): Promise<void> {
  const wrong = (await auditPartitions(sql)).find((row) => row.countersFen !== row.snapshotsFen)
  if (wrong === undefined) return
  throw new Refused(
    `The books of partition ${wrong.partition} do not balance (${wrong.countersFen} and ${wrong.snapshotsFen} fen): see ops reconcile.`,
  )
}

/** Nothing writes any more, so that what is flushed now is all there is. */
async function requireFlushed(
  stores: Stores,
  { partition, from }: { partition: number; from: number },
  log: Log,
): Promise<void> {
  const before = judge(await examine(stores, partition))
  if (before.status === "new") return
  if (before.status !== "intact") {
    throw new Refused(
      `Partition ${partition} is not in order (${before.reason}): start the program with PARTITIONS=${from} until it is open, and stop it again.`,
    )
  }
  const { generation } = before.meta
  const { entryNumber } = await drain(stores, { partition, generation }, log)
  if (entryNumber === before.meta.entryNumber) return
  throw new Refused(
    `Partition ${partition} has ${before.meta.entryNumber} entries, and only ${entryNumber} of them can be flushed: nothing was changed.`,
  )
}

type Move = Pick<Repartition, "from" | "to" | "claims"> & { log: Log }

/** The list of moves ends with its connection: what was not done by then was never begun. */
async function move(connection: Sql, { from, to, claims, log }: Move): Promise<void> {
  await createMoves(connection)
  let [moves, accounts] = [0, 0]
  for (let after = ""; ; ) {
    const page = await pageAccountPartitions(connection, { after, limit: REPARTITION_PAGE })
    const last = page.at(-1)
    if (last === undefined) break
    const moving = page.flatMap(({ accountId, partition }) => {
      const next = partitionOf(parseAccountId(accountId), to)
      return next === partition ? [] : [{ accountId, partition: next }]
    })
    if (moving.length > 0) await stageMoves(connection, moving)
    moves += moving.length
    accounts += page.length
    after = last.accountId
    if (accounts % (10 * REPARTITION_PAGE) === 0) log(`${accounts} accounts are looked at`)
  }
  log(`${moves} of ${accounts} accounts change their partition`)
  const audit = auditOf(SYSTEM, "ledger.repartitioned", { from, to, accounts, moves })
  if (await repartition(connection, { from, to, moves, claims, audit })) return
  throw new Refused("Another process has opened the ledger meanwhile: nothing was changed.")
}

/** All of a partition that there is no more. */
async function removeKeys({ redis }: Stores, partition: number): Promise<void> {
  const meta = metaKey(partition)
  const prefix = meta.slice(0, -"meta".length)
  const node = redis.of(partition)
  let cursor = "0"
  do {
    const [next, names] = await node.scan(
      ...([cursor, "MATCH", `${prefix}*`, "COUNT", REPARTITION_PAGE] as const),
    )
    if (names.length > 0) await node.unlink(...names)
    cursor = next
  } while (cursor !== "0")
}
