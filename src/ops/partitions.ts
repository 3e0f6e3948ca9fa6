import type { Sql } from "../../db/connection.ts"
import { listPartitionStates, type PartitionState } from "../../db/queries/list-partition-states.ts"
import { anchorsDirOf, readAnchors } from "../flusher/anchors.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { type Lag, readLag } from "../ledger/meta.ts"

/**
 * open       charges are decided and flushed
 * stopped    nothing is flushed until an operator says so: `ops resume`
 * refilling  Postgres may lack what Redis has, and is being filled up from the stream
 * fenced     Redis does not run the generation that Postgres has: nothing is charged
 * closed     it was never opened, or is being opened
 * unknown    Redis does not answer
 */
type State = "open" | "stopped" | "refilling" | "fenced" | "closed" | "unknown"

export type PartitionStatus = Omit<
  PartitionState,
  "isOpen" | "isRefilling" | "stoppedBecause" | "chainStart"
> & {
  state: State
  /** Why it is not open. */
  reason: string | null
  lagRecords: number | null
  lagSeconds: number | null
  chainLength: number
  /** Up to which record the chain stands in the newest anchor; null: there is none here. */
  anchoredLength: number | null
}

export async function describePartitions(
  { sql, redis }: { sql: Sql; redis: RedisNodes | null },
  { dataDir }: { dataDir: string },
): Promise<PartitionStatus[]> {
  const states = await listPartitionStates(sql)
  return Promise.all(
    states.map(async ({ isOpen, isRefilling, stoppedBecause, chainStart, ...row }) => {
      const { partition, generation, records } = row
      const lag =
        redis === null ? "unknown" : await readLag(redis, partition).catch(() => "unknown")
      const known = typeof lag === "string" ? null : lag
      const anchors = await readAnchors(anchorsDirOf(dataDir), partition)
      const anchored = anchors.at(-1)?.records ?? null
      return {
        ...row,
        ...judge({ isOpen, isRefilling, stoppedBecause, generation }, lag),
        lagRecords: known?.records ?? null,
        lagSeconds: known?.seconds ?? null,
        chainLength: records - chainStart,
        anchoredLength: anchored === null ? null : anchored - chainStart,
      }
    }),
  )
}

type Told = Pick<PartitionState, "isOpen" | "isRefilling" | "stoppedBecause" | "generation">

function judge(told: Told, lag: Lag | string | null): { state: State; reason: string | null } {
  const { isOpen, isRefilling, stoppedBecause, generation } = told
  if (stoppedBecause !== null) return { state: "stopped", reason: `stopped: ${stoppedBecause}` }
  if (isRefilling) {
    const reason = "Postgres may lack what Redis has, and is being filled up from the stream"
    return { state: "refilling", reason }
  }
  if (!isOpen) return { state: "closed", reason: "it is not open yet" }
  if (typeof lag === "string") return { state: "unknown", reason: "Redis does not answer" }
  if (lag?.generation === generation) return { state: "open", reason: null }
  const has = lag === null || lag.generation === 0 ? "nothing" : `generation ${lag.generation}`
  return { state: "fenced", reason: `Redis has ${has}, and Postgres generation ${generation}` }
}
