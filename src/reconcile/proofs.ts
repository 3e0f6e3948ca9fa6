import { connectSql, type Sql } from "../../db/connection.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { RECONCILE_INTERVAL_MS } from "../limits.ts"
import { messageOf, startTicker } from "../ticker.ts"
import { reconcile } from "./reconcile.ts"
import { createRunner } from "./runs.ts"
import { createSampler } from "./sample.ts"

type Deps = {
  redis: RedisNodes
  sql: Sql
  databaseUrl: string
  partitions: number
  log(message: string): void
}

/** It adds up what all accounts have: where these are so many that it is felt, a tenth of the time. */
const REST_FACTOR = 9
const UNFELT_MS = 100

function createSparing(work: () => Promise<void>): () => Promise<void> {
  let restUntil = 0
  return async () => {
    const startedAt = performance.now()
    if (startedAt < restUntil) return
    await work()
    const endedAt = performance.now()
    const spentMs = endedAt - startedAt
    if (spentMs > UNFELT_MS) restUntil = endedAt + REST_FACTOR * spentMs
  }
}

/**
 * All that proves the books while the program runs: the totals of what came since the last look, some
 * accounts of Redis in turn, and the runs that administrators ask for.
 */
export function startProofs(deps: Deps): { stop(): Promise<void> } {
  const { redis, sql, partitions, log } = deps
  const sampler = createSampler({ redis, sql, log })
  // A page of a run may take longer than a flush ever should.
  const sqlOfRuns = connectSql(deps.databaseUrl, {
    max: 1,
    applicationName: "fengate reconciliation",
    statementTimeoutMs: 0,
  })
  const runner = createRunner({ redis, sql: sqlOfRuns, log })
  const work: Record<string, () => Promise<void>> = {
    reconciliation: createSparing(() => reconcile(sql, { partitions, log })),
    "the comparison of accounts": sampler.look,
    "the recomputation of the books": runner.look,
  }
  const tickers = Object.entries(work).map(([name, look]) =>
    startTicker({
      intervalMs: RECONCILE_INTERVAL_MS,
      work: look,
      onError: (error) => log(`${name} pauses: ${messageOf(error)}`),
    }),
  )
  return {
    async stop() {
      runner.stop()
      await Promise.all(tickers.map((ticker) => ticker.stop()))
      await sqlOfRuns.end({ timeout: 1 })
    },
  }
}
