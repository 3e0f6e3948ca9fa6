import type { Sql } from "../../db/connection.ts"
import { listChainedRecords, type StoredRecord } from "../../db/queries/list-chained-records.ts"
import { listErasedLeaves } from "../../db/queries/list-erased-leaves.ts"
import { listPartitions } from "../../db/queries/list-partitions.ts"
import { readChain } from "../../db/queries/read-chain.ts"
import { type Anchor, readAnchors } from "../flusher/anchors.ts"
import { type Chain, createChain } from "../flusher/chain.ts"
import { chainKeyOf } from "../flusher/chain-keys.ts"
import { VERIFY_PAGE } from "../limits.ts"

/** What was found out about one partition's chain. */
export type VerifiedChain = {
  partition: number
  /** Records in the chain. */
  records: number
  /** That it was compared with. */
  anchors: number
  /** One sentence for each thing that is not as it must be. */
  findings: string[]
}

const FINDINGS_MAX = 20

/** Those of all partitions, also of those from before their number was changed. */
export async function verifyChains(
  stores: Parameters<typeof verifyChain>[0],
): Promise<VerifiedChain[]> {
  const verified: VerifiedChain[] = []
  for (const partition of await listPartitions(stores.sql)) {
    verified.push(await verifyChain(stores, { partition }))
  }
  return verified
}

/**
 * Recomputes the hash chain of a partition from its records, and compares it with the head and the number of
 * records beside the watermark, and with the anchors in `anchorsDir` (null: with none). Callable while
 * records are being written. It keeps a page of records and the anchors in memory.
 *
 * After a difference it goes on from the next anchor, so that each finding names the records that it
 * is about as closely as the anchors stand.
 */
export async function verifyChain(
  { sql, anchorsDir }: { sql: Sql; anchorsDir: string | null },
  { partition }: { partition: number },
): Promise<VerifiedChain> {
  // Before the watermark: an anchor that is made meanwhile would be above it.
  const anchors = anchorsDir === null ? [] : await readAnchors(anchorsDir, partition)
  const { records, chainStart, chainHead, beyond } = await readChain(sql, partition)
  const pass = createPass({ partition, chainStart, anchors })
  for (let after = chainStart; after < records; after += VERIFY_PAGE) {
    const page = { partition, after, through: Math.min(after + VERIFY_PAGE, records) }
    const rows = await listChainedRecords(sql, page)
    // After the records: one that is erased meanwhile is either still there, or has left its leaf.
    const erased = await listErasedLeaves(sql, page)
    pass.take(page, rows, new Map(erased.map(({ position, leaf }) => [position, leaf])))
  }
  const findings = pass.end({ records, chainHead })
  if (beyond > 0) findings.push(`${beyond} records are above position ${records}, the watermark`)
  return {
    ...{ partition, records: records - chainStart, anchors: anchors.length },
    findings: shorten(findings).map((finding) => `partition ${partition}: ${finding}`),
  }
}

type Page = { after: number; through: number }
type Walk = { partition: number; chainStart: number; anchors: readonly Anchor[] }

/** One walk along the chain. */
function createPass({ partition, chainStart, anchors }: Walk) {
  const ahead = anchors
    .filter(({ records }) => records > chainStart)
    .toSorted((a, b) => a.records - b.records)
  const missing = createRanges()
  const findings: string[] = []
  let nextAnchor = 0
  /** Null from a missing record to the next anchor. */
  let chain: Chain | null = chainFrom(chainStart, "")
  /** Up to here all is told: what comes after it hangs on no record before it. */
  let known = chainStart
  return { take, end }

  function chainFrom(records: number, chainHead: string): Chain {
    return createChain({ partition, records, chainStart, chainHead })
  }

  function take(
    { after, through }: Page,
    rows: readonly StoredRecord[],
    erased: ReadonlyMap<number, string>,
  ): void {
    let next = 0
    for (let position = after + 1; position <= through; position++) {
      const row = rows[next]
      const leaf = erased.get(position)
      if (row !== undefined && Number(row.position) === position) {
        chain?.add(...asWritten(row))
        while (Number(rows[++next]?.position) === position) {
          findings.push(`position ${position} is there twice`)
        }
      } else if (leaf !== undefined) chain?.addLeaf(leaf)
      else {
        missing.add(position)
        chain = null
      }
      compareAnchors(position)
    }
  }

  function compareAnchors(position: number): void {
    for (; ahead[nextAnchor]?.records === position; nextAnchor++) {
      const { head = "", at } = ahead[nextAnchor] ?? {}
      if (chain !== null && chain.head() !== head) {
        findings.push(
          `positions ${known + 1} to ${position} are not what was written: the head there is not that of the anchor of ${at}`,
        )
      }
      chain = chainFrom(position, head)
      known = position
    }
  }

  function end({ records, chainHead }: { records: number; chainHead: string }): string[] {
    const head = records === chainStart ? "" : chain?.head()
    const isTheirs = head === undefined || head === chainHead
    return [
      ...missing.tell(),
      ...findings,
      ...(isTheirs ? [] : [describeHead(known, records)]),
      ...describeHighest(ahead.at(-1), records),
    ]
  }
}

function describeHead(known: number, records: number): string {
  if (known === records) return `the head beside the watermark is not that of position ${records}`
  return `positions ${known + 1} to ${records} are not what was written, or the head beside the watermark is not: it is not theirs`
}

function describeHighest(highest: Anchor | undefined, records: number): string[] {
  if (highest === undefined || highest.records <= records) return []
  return [
    `the anchor of ${highest.at} counts ${highest.records} records, and the watermark ${records}: the newest ones are gone`,
  ]
}

/** Positions that come in their order, and are told as ranges. */
function createRanges() {
  const ranges: { first: number; last: number }[] = []
  return {
    add(position: number): void {
      const range = ranges.at(-1)
      if (range?.last === position - 1) range.last = position
      else ranges.push({ first: position, last: position })
    },
    tell(): string[] {
      return ranges.map(({ first, last }) =>
        first === last
          ? `position ${first} is missing`
          : `positions ${first} to ${last} are missing`,
      )
    },
  }
}

function asWritten(row: StoredRecord): Parameters<Chain["add"]> {
  const record = {
    ...row,
    seq: Number(row.seq),
    amountFen: Number(row.amountFen),
    balanceBeforeFen: Number(row.balanceBeforeFen),
    balanceAfterFen: Number(row.balanceAfterFen),
  }
  const batch = row.batch === null ? null : Number(row.batch)
  const written = { atMs: Number(row.atMs), slot: row.slot, batch }
  return [record, written, chainKeyOf(row.accountId, row.chainKey)]
}

function shorten(findings: readonly string[]): string[] {
  const more = findings.length - FINDINGS_MAX
  return more > 0
    ? [...findings.slice(0, FINDINGS_MAX), `and ${more} more of this kind`]
    : [...findings]
}
