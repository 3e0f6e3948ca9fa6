import type { Idempotency } from "../ledger/items.ts"
import type { Payer } from "./authenticate.ts"

export type KeyedRequest = {
  /** The Idempotency-Key, well formed. */
  key: string
  /** Method and path, as they were sent. */
  route: string
  /** All that the request asks for, read and not as it was written: see `asksOf`. */
  asks: string
  isOnce: boolean
}

/**
 * What stands for a keyed request in the ledger. One key of two payers, two service keys or two
 * routes is two keys; of an account's API keys it is one, so that a retry may come with another.
 */
export function identify(
  { accountId, scope }: Payer,
  { key, route, asks, isOnce }: KeyedRequest,
): Idempotency {
  const named = [accountId, scope, route, key].join("\n")
  const digest = Bun.SHA256.hash(named, "base64url").slice(0, 16)
  return { digest, fingerprint: fingerprintOf(asks), isOnce }
}

/** 48 bits, in 6 characters of a byte each. */
function fingerprintOf(asks: string): string {
  const hash = Bun.hash(asks)
  const low = Number(hash & 0xff_ffffn)
  const high = Number((hash >> 24n) & 0xff_ffffn)
  return bytesOf(low) + bytesOf(high)
}

function bytesOf(value: number): string {
  return String.fromCharCode(value & 0xff, (value >> 8) & 0xff, value >> 16)
}

/**
 * What a request asks for, as one text: the same for JSON in another order or spelling, and for a
 * default that is written out. No field can hold the separator.
 */
export function asksOf(...fields: readonly (string | number | null | undefined)[]): string {
  return fields.map((field) => field ?? "").join("\x1f")
}
