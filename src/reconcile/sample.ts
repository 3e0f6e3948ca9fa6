import { arrayText } from "../../db/array.ts"
import type { Sql } from "../../db/connection.ts"
import { listDrifts } from "../../db/queries/list-drifts.ts"
import { listSnapshots, type Snapshot } from "../../db/queries/list-snapshots.ts"
import { listUnknownAccounts } from "../../db/queries/list-unknown-accounts.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { SAMPLE_ACCOUNTS, SAMPLE_DRIFTS_MAX, SAMPLE_ENTRIES_MAX } from "../limits.ts"
import { raiseDrifts, settleDrifts } from "./drifts.ts"
import { byPartition, compareStates, type Drift } from "./states.ts"

type Deps = { sql: Sql; redis: RedisNodes; log(message: string): void }

/**
 * Compares some accounts in Redis with Postgres each time that it looks, in turn, so that a balance
 * which somebody has changed in either of them is found after accounts / SAMPLE_ACCOUNTS looks. What
 * was found is looked at each time, until it agrees.
 */
export function createSampler({ sql, redis, log }: Deps) {
  let after = ""
  return { look }

  async function look(): Promise<void> {
    const known = (await listDrifts(sql, SAMPLE_DRIFTS_MAX)).map(({ accountId }) => accountId)
    if (known.length > 0) {
      const accountIds = arrayText(known)
      await judge(await listSnapshots(sql, { accountIds, after: "", limit: known.length }), known)
      // Of an account that there is no more, nothing drifts.
      await settleDrifts(sql, await listUnknownAccounts(sql, accountIds), log)
    }
    const page = await listSnapshots(sql, { accountIds: null, after, limit: SAMPLE_ACCOUNTS })
    await judge(page, [])
    after = page.length < SAMPLE_ACCOUNTS ? "" : (page.at(-1)?.accountId ?? "")
  }

  async function judge(snapshots: readonly Snapshot[], known: readonly string[]): Promise<void> {
    const drifts: Drift[] = []
    const agreed = new Set<string>()
    for (const group of byPartition(snapshots)) {
      const compared = await compareStates(redis, group, { entriesMax: SAMPLE_ENTRIES_MAX })
      // A partition that is fenced, or built anew, is looked at when it runs again.
      if ("reason" in compared) continue
      drifts.push(...compared.drifts)
      const drifting = new Set(compared.drifts.map(({ accountId }) => accountId))
      for (const { accountId } of group) {
        if (!drifting.has(accountId) && !compared.moving.has(accountId)) agreed.add(accountId)
      }
    }
    await raiseDrifts(sql, drifts, log)
    await settleDrifts(
      sql,
      known.filter((accountId) => agreed.has(accountId)),
      log,
    )
  }
}
