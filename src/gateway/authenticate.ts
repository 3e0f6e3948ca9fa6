import { within } from "../deadline.ts"
import { type AddressList, createAddressList } from "../http/cidr.ts"
import {
  type AccountId,
  hashCredential,
  isSameSecret,
  parseAccountId,
  readCredential,
} from "../ids.ts"
import type { KeyLimits } from "../ledger/items.ts"
import { KEY_CACHE_ENTRIES_MAX, KEY_LOOKUP_MS } from "../limits.ts"
import { type Fen, parseFen } from "../money.ts"

/**
 * Who pays for a call, and the versions under which that was verified: the script compares them.
 * An API key pays for its calls; a service key names whom it calls for.
 */
export type Payer = {
  /** What the record names: the API key, or the service key that named an account. */
  keyId: string
  accountId: AccountId
  /** Null: a service key names the account, and no API key. */
  authVersion: number | null
  /** Null: no service key is in it. */
  servicesVersion: number | null
  /** Null where the key has no budget, rate or expiry: such a key costs nothing at all. */
  limits: KeyLimits | null
  /** Null: calls may come from anywhere. */
  allowedAddresses: AddressList | null
  /** Null: all interfaces may be called. */
  interfaces: ReadonlySet<string> | null
  /** Whose Idempotency-Keys these are within the account: empty, or a service key's id. */
  scope: string
}

/** A verified API key, and the auth version of its account at the time. */
export type VerifiedKey = Payer & { authVersion: number; servicesVersion: null }

/** A verified service key, and the version of all of them at the time. */
export type VerifiedService = { serviceKeyId: string; servicesVersion: number }

export type CredentialRefused =
  | { status: "missing_credential" }
  | { status: "invalid_credential" }
  | { status: "key_disabled" }
  | { status: "unavailable" }

export type KeyVerification = { status: "verified"; key: VerifiedKey } | CredentialRefused

export type Verification = KeyVerification | { status: "service"; service: VerifiedService }

/** What Postgres says of an API key. `keyHash` is the one that it was found by. */
export type KeyRow = {
  keyId: string
  accountId: string
  keyHash: string
  isEnabled: boolean
  authVersion: number
  limitsVersion: number
  dailyFen: string | null
  monthlyFen: string | null
  totalFen: string | null
  ratePerSecond: number | null
  expiresAtMs: number | null
  allowedCidrs: string[] | null
  interfaces: string[] | null
}

/** What Postgres says of a service key, and the version of all of them. */
export type ServiceKeyRow = VerifiedService & { keyHash: string; isEnabled: boolean }

export type AuthenticatorDeps = {
  /** Null where there is none with this hash. Rejects where Postgres is away. */
  loadKey(keyHash: string): Promise<KeyRow | null>
  loadServiceKey(keyHash: string): Promise<ServiceKeyRow | null>
  log(message: string): void
}

const LOOKUP = { timeoutMs: KEY_LOOKUP_MS, what: "Postgres" }
const INVALID = { status: "invalid_credential" } as const

/**
 * Knows API keys and service keys. One that was verified stays in memory with the version under
 * which it was; the script compares that at every call, so that a revoked key is dead at once
 * although nothing is looked up (promise 7). Only enabled keys are kept: a refusal asks Postgres.
 */
export function createAuthenticator({ loadKey, loadServiceKey, log }: AuthenticatorDeps) {
  const verified = new Map<string, Verification>()
  return { verify, verifyKey, forget }

  /** The credential that a request carries. What is in memory is answered without a promise. */
  function verify(headers: Headers): Verification | Promise<Verification> {
    const credential = readKey(headers)
    if (credential === null) return { status: "missing_credential" }
    return verified.get(credential) ?? look(credential)
  }

  /** An API key; a credential of another kind is invalid. */
  async function verifyKey(credential: string): Promise<KeyVerification> {
    const verification = verified.get(credential) ?? (await look(credential))
    return verification.status === "service" ? INVALID : verification
  }

  /** The script said that a credential is not what it was: the next call asks Postgres. */
  function forget(credential: string): void {
    verified.delete(credential)
  }

  async function look(credential: string): Promise<Verification> {
    const prefix = readCredential(credential)?.prefix
    if (prefix !== "fk" && prefix !== "fs") return INVALID
    const hash = hashCredential(credential)
    let verification: Verification
    try {
      verification = await within(prefix === "fk" ? lookKey(hash) : lookService(hash), LOOKUP)
    } catch (error) {
      log(`a key cannot be looked up: ${error instanceof Error ? error.name : "unknown error"}`)
      return { status: "unavailable" }
    }
    const { status } = verification
    if (status === "verified" || status === "service") remember(credential, verification)
    return verification
  }

  async function lookKey(hash: string): Promise<KeyVerification> {
    const row = await loadKey(hash)
    if (row === null || !isSameSecret(row.keyHash, hash)) return INVALID
    return row.isEnabled ? { status: "verified", key: readRow(row) } : { status: "key_disabled" }
  }

  async function lookService(hash: string): Promise<Verification> {
    const row = await loadServiceKey(hash)
    if (row === null || !isSameSecret(row.keyHash, hash)) return INVALID
    if (!row.isEnabled) return { status: "key_disabled" }
    const { serviceKeyId, servicesVersion } = row
    return { status: "service", service: { serviceKeyId, servicesVersion } }
  }

  function remember(credential: string, verification: Verification): void {
    const oldest = verified.size >= KEY_CACHE_ENTRIES_MAX ? verified.keys().next() : null
    if (oldest?.done === false) verified.delete(oldest.value)
    verified.set(credential, verification)
  }
}

export type Authenticator = ReturnType<typeof createAuthenticator>

function readRow(row: KeyRow): VerifiedKey {
  const { keyId, authVersion, allowedCidrs, interfaces } = row
  return {
    keyId,
    accountId: parseAccountId(row.accountId),
    authVersion,
    servicesVersion: null,
    limits: readLimits(row),
    allowedAddresses: allowedCidrs === null ? null : createAddressList(allowedCidrs),
    interfaces: interfaces === null ? null : new Set(interfaces),
    scope: "",
  }
}

function readLimits(row: KeyRow): KeyLimits | null {
  const { keyId, limitsVersion: version, ratePerSecond, expiresAtMs } = row
  const budgets = {
    dailyFen: readFen(row.dailyFen),
    monthlyFen: readFen(row.monthlyFen),
    totalFen: readFen(row.totalFen),
  }
  const limits = { ...budgets, ratePerSecond, expiresAtMs }
  if (Object.values(limits).every((limit) => limit === null)) return null
  return { keyId, version, ...limits }
}

function readFen(text: string | null): Fen | null {
  return text === null ? null : parseFen(text)
}

const BEARER = "bearer "

/** The key of a request, from `Authorization: Bearer` or `X-Api-Key`. */
export function readKey(headers: Headers): string | null {
  const authorization = headers.get("authorization")
  if (authorization === null) return headers.get("x-api-key")
  const scheme = authorization.slice(0, BEARER.length).toLowerCase()
  return scheme === BEARER ? authorization.slice(BEARER.length) : authorization
}
