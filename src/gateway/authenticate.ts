import { within } from "../deadline.ts"
import {
  type AccountId,
  hashCredential,
  isSameSecret,
  parseAccountId,
  readCredential,
} from "../ids.ts"
import { KEY_CACHE_ENTRIES_MAX, KEY_LOOKUP_MS } from "../limits.ts"

/** A verified API key, and the auth version of its account at the time. */
export type VerifiedKey = { keyId: string; accountId: AccountId; authVersion: number }

export type Verification =
  | { status: "verified"; key: VerifiedKey }
  | { status: "missing_credential" }
  | { status: "invalid_credential" }
  | { status: "key_disabled" }
  | { status: "unavailable" }

/** What Postgres says of a key; null where it has none with this hash. Rejects where it is away. */
export type LoadKey = (keyHash: string) => Promise<{
  keyId: string
  accountId: string
  keyHash: string
  isEnabled: boolean
  authVersion: number
} | null>

const LOOKUP = { timeoutMs: KEY_LOOKUP_MS, what: "Postgres" }

/**
 * Knows API keys. A key that was verified stays in memory with its account's auth version; the
 * script compares that version at every call, so that a revoked key is dead at once although
 * nothing is looked up (promise 7). Only enabled keys are kept: a refusal always asks Postgres.
 */
export function createAuthenticator(loadKey: LoadKey, log: (message: string) => void) {
  const verified = new Map<string, VerifiedKey>()
  return { verify, reload }

  function verify(headers: Headers): Verification | Promise<Verification> {
    const credential = readApiKey(headers)
    if (credential === null) return { status: "missing_credential" }
    const key = verified.get(credential)
    return key === undefined ? reload(credential) : { status: "verified", key }
  }

  /** Asks Postgres, whatever is in memory: the script said that the key is not what it was. */
  async function reload(credential: string): Promise<Verification> {
    verified.delete(credential)
    if (readCredential(credential)?.prefix !== "fk") return { status: "invalid_credential" }
    const keyHash = hashCredential(credential)
    let found: Awaited<ReturnType<LoadKey>>
    try {
      found = await within(loadKey(keyHash), LOOKUP)
    } catch (error) {
      log(`a key cannot be looked up: ${error instanceof Error ? error.name : "unknown error"}`)
      return { status: "unavailable" }
    }
    if (found === null || !isSameSecret(found.keyHash, keyHash))
      return { status: "invalid_credential" }
    if (!found.isEnabled) return { status: "key_disabled" }
    const { keyId, authVersion } = found
    const key = { keyId, authVersion, accountId: parseAccountId(found.accountId) }
    remember(credential, key)
    return { status: "verified", key }
  }

  function remember(credential: string, key: VerifiedKey): void {
    const oldest = verified.size >= KEY_CACHE_ENTRIES_MAX ? verified.keys().next() : null
    if (oldest?.done === false) verified.delete(oldest.value)
    verified.set(credential, key)
  }
}

export type Authenticator = ReturnType<typeof createAuthenticator>

const BEARER = "bearer "

/** The API key of a request, from `Authorization: Bearer` or `X-Api-Key`. */
export function readApiKey(headers: Headers): string | null {
  const authorization = headers.get("authorization")
  if (authorization === null) return headers.get("x-api-key")
  const scheme = authorization.slice(0, BEARER.length).toLowerCase()
  return scheme === BEARER ? authorization.slice(BEARER.length) : authorization
}
