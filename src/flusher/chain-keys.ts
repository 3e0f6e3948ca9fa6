import type { AccountId } from "../ids.ts"
import { CHAIN_KEYS_MAX } from "../limits.ts"
import type { Entry } from "./read-entries.ts"

/**
 * The keys under which the records of accounts are hashed. A key comes with the instruction that opens
 * its account, through the stream: so a Postgres that was restored gets the same leaves from it again.
 */
export type ChainKeys = {
  /** Of all accounts that have a record in these entries. */
  of(entries: readonly Entry[]): Promise<ReadonlyMap<AccountId, string>>
}

/** Answers the keys that stand in the snapshots; of an account without a snapshot nothing. */
export type LoadChainKeys = (
  accountIds: readonly AccountId[],
) => Promise<{ accountId: string; chainKey: string }[]>

/** Keeps up to CHAIN_KEYS_MAX keys, so that few batches have to load any. */
export function createChainKeys(load: LoadChainKeys): ChainKeys {
  const kept = new Map<string, string>()
  return { of }

  async function of(entries: readonly Entry[]): Promise<ReadonlyMap<AccountId, string>> {
    const keys = new Map<AccountId, string>()
    const missing = new Set<AccountId>()
    for (const { records } of entries) {
      for (const { accountId, kind, description } of records) {
        if (keys.has(accountId)) continue
        // The next batch may be composed before this one is committed: until then it stands here alone.
        if (kind === "open") keep(accountId, chainKeyOf(accountId, description))
        const key = kept.get(accountId)
        if (key === undefined) missing.add(accountId)
        else keys.set(accountId, key)
      }
    }
    if (missing.size === 0) return keys
    for (const { accountId, chainKey } of await load([...missing])) {
      keep(accountId, chainKeyOf(accountId, chainKey))
    }
    // Of an account without a snapshot none is kept: it may have one when the flush is tried again.
    for (const id of missing) keys.set(id, kept.get(id) ?? chainKeyOf(id, ""))
    return keys
  }

  function keep(accountId: string, key: string): void {
    const oldest = kept.size >= CHAIN_KEYS_MAX ? kept.keys().next().value : undefined
    if (oldest !== undefined) kept.delete(oldest)
    kept.set(accountId, key)
  }
}

const CHAIN_KEY = /^[0-9a-f]{32}$/

/** Of an account that was given none: a key that follows from its id. */
export function chainKeyOf(accountId: string, given: string): string {
  if (CHAIN_KEY.test(given)) return given
  return new Bun.CryptoHasher("sha256")
    .update(`fengate chain key${accountId}`)
    .digest("hex")
    .slice(0, 32)
}
