import type { AccountId } from "../ids.ts"

/**
 * Every Redis key name, built in one place. All keys of a partition carry its hash tag; all but
 * meta carry the generation, so that nothing of an earlier life can be written into a later one.
 */

export function metaKey(partition: number): string {
  return `{p${partition}}:meta`
}

export function streamKey(partition: number, generation: number): string {
  return `{p${partition}}:${generation}:stream`
}

export function memoKey(partition: number, generation: number, slot: string): string {
  return `{p${partition}}:${generation}:slot:${slot}`
}

/** What stands before the 16 characters of an account id in the name of its state. */
export function accountKeyPrefix(partition: number, generation: number): string {
  return `{p${partition}}:${generation}:a:`
}

export function accountKey(partition: number, generation: number, accountId: AccountId): string {
  return accountKeyPrefix(partition, generation) + accountId.slice("acct_".length)
}

/** What stands before the names of results (`r:`), counters (`k:`) and holds (`h:`). */
export function otherKeyPrefix(partition: number, generation: number): string {
  return `{p${partition}}:${generation}:`
}

/** The open holds of a partition, by their expiry. */
export function holdsKey(partition: number, generation: number): string {
  return `{p${partition}}:${generation}:holds`
}

/** The charges of a partition that were reversed. */
export function reversedKey(partition: number, generation: number): string {
  return `{p${partition}}:${generation}:reversed`
}

export function counterKey(partition: number, generation: number, keyId: string): string {
  return `${otherKeyPrefix(partition, generation)}k:${keyId.slice("key_".length)}`
}
