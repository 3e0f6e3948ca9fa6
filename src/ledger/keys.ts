import type { AccountId } from "../ids.ts"
import { hashTag } from "./hash-tag.ts"

/**
 * Every Redis key name, built in one place. All keys of a partition carry its hash tag; all but meta, claim
 * and server carry the generation, so that nothing of an earlier life can be written into a later one.
 */

/**
 * What stands before the names of a partition's generation: accounts (`a:`), results (`r:`), counters
 * (`k:`) and holds (`h:`) among them.
 */
export function keyPrefix(partition: number, generation: number): string {
  return `{${hashTag(partition)}}:${generation}:`
}

export function metaKey(partition: number): string {
  return `{${hashTag(partition)}}:meta`
}

/** The server of Postgres that has, or had, all of this partition: see `Watermark.server`. */
export function serverKey(partition: number): string {
  return `{${hashTag(partition)}}:server`
}

/** Which generation of the partition is being built. */
export function claimKey(partition: number): string {
  return `{${hashTag(partition)}}:claim`
}

/** How many pages of a generation were written while it was built; gone once it is open. */
export function builtKey(partition: number, generation: number): string {
  return `${keyPrefix(partition, generation)}built`
}

export function streamKey(partition: number, generation: number): string {
  return `${keyPrefix(partition, generation)}stream`
}

export function memoKey(partition: number, generation: number, slot: string): string {
  return `${keyPrefix(partition, generation)}slot:${slot}`
}

export function accountKey(partition: number, generation: number, accountId: AccountId): string {
  return `${keyPrefix(partition, generation)}a:${accountId.slice("acct_".length)}`
}

/** The open holds of a partition, by their expiry. */
export function holdsKey(partition: number, generation: number): string {
  return `${keyPrefix(partition, generation)}holds`
}

/** The charges of a partition that were reversed. */
export function reversedKey(partition: number, generation: number): string {
  return `${keyPrefix(partition, generation)}reversed`
}

export function counterKey(partition: number, generation: number, keyId: string): string {
  return `${keyPrefix(partition, generation)}k:${keyId.slice("key_".length)}`
}
