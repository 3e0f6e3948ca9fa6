import type { Sql } from "../../db/connection.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { readMeta } from "../ledger/meta.ts"
import { verifyChains } from "./chain.ts"
import { type Recomputed, recomputeBooks } from "./recompute.ts"

/**
 * The books, recomputed from nothing when nothing charges any more, and the hash chains with them: it
 * first waits until Postgres has all that Redis wrote. A test or a benchmark whose books have a finding
 * has no result.
 */
export type Audit = Pick<
  Recomputed,
  "accounts" | "records" | "findings" | "creditsFen" | "debitsFen" | "balancesFen" | "driftFen"
>

type Stores = { sql: Sql; redis: RedisNodes }
type Options = Stores & {
  /** Said by the caller, it is compared with what Postgres says. */
  partitions?: number
  /** How long the flush may take to catch up. */
  catchUpMs?: number
  /** Of the hash chains, which are compared with them then. */
  anchorsDir?: string
}

const CATCH_UP_POLL_MS = 20
const CATCH_UP_MS = 10_000

export async function auditBooks(options: Options): Promise<Audit> {
  const { sql, redis, catchUpMs = CATCH_UP_MS, anchorsDir = null } = options
  const opening = await readOpening(sql)
  const findings = await awaitFlush({ sql, redis }, opening.generations, catchUpMs)
  if (options.partitions !== undefined && options.partitions !== opening.partitions) {
    findings.push(`the ledger has ${opening.partitions} partitions, not ${options.partitions}`)
  }
  const { findings: found, ...sums } = await recomputeBooks({ sql, redis })
  const { accounts, records, creditsFen, debitsFen, balancesFen, driftFen } = sums
  const chains = await verifyChains({ sql, anchorsDir })
  findings.push(...found, ...chains.flatMap((chain) => chain.findings))
  return { accounts, records, creditsFen, debitsFen, balancesFen, driftFen, findings }
}

/** Until the watermark of each partition is known to be at the end of its stream. Else: what is behind. */
async function awaitFlush(
  { sql, redis }: Stores,
  generations: readonly number[],
  catchUpMs: number,
): Promise<string[]> {
  const deadlineAt = performance.now() + catchUpMs
  for (;;) {
    const behind: string[] = []
    for (const { partition, generation, entryNumber, isRefilling } of await readWatermarks(sql)) {
      const meta = await readMeta(redis, partition)
      const isSame = meta?.generation === generations[partition]
      if (isSame && meta?.entryNumber === entryNumber && !isRefilling) continue
      const has =
        meta === null ? "none" : `entry ${meta.entryNumber} of generation ${meta.generation}`
      behind.push(
        `partition ${partition}: Postgres has entry ${entryNumber} of generation ${generation}, Redis has ${has}`,
      )
    }
    if (behind.length === 0 || performance.now() >= deadlineAt) return behind
    await Bun.sleep(CATCH_UP_POLL_MS)
  }
}
