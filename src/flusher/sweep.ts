import type { Sql } from "../../db/connection.ts"
import { listAccountsToSweep } from "../../db/queries/list-accounts-to-sweep.ts"
import { type AccountId, parseAccountId } from "../ids.ts"
import { SWEEP_ACCOUNTS_MAX, SWEEP_AGE_MS } from "../limits.ts"
import { messageOf } from "../ticker.ts"

/**
 * Applies what a crash left: instructions that are committed, whose request never came to apply
 * them. Applying one again is harmless, so that it needs to know nothing of the request.
 */
export async function sweep(
  sql: Sql,
  applyPending: (accountId: AccountId) => Promise<unknown>,
): Promise<void> {
  const found = await listAccountsToSweep(sql, { ageMs: SWEEP_AGE_MS, limit: SWEEP_ACCOUNTS_MAX })
  const failures: unknown[] = []
  for (const accountId of found) {
    // One account that cannot be served must not keep the others from their credits.
    await applyPending(parseAccountId(accountId)).catch((error: unknown) => failures.push(error))
  }
  if (failures.length > 0) {
    throw new AggregateError(
      failures,
      `${failures.length} of ${found.length} accounts: ${messageOf(failures[0])}`,
    )
  }
}
