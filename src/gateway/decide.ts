import { DeadlinePassed, within } from "../deadline.ts"
import { isPostgresAway } from "../http/failure.ts"
import { type AccountId, isAccountId } from "../ids.ts"
import type { ApplyOutcome } from "../ledger/instructions.ts"
import type { SpendingRefused, Unavailable } from "../ledger/items.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { UNAVAILABLE } from "../ledger/outcomes.ts"
import { AUTH_RELOADS_MAX, KEY_LOOKUP_MS } from "../limits.ts"
import {
  type Authenticator,
  type CredentialRefused,
  type Payer,
  readKey,
  type Verification,
  type VerifiedService,
} from "./authenticate.ts"

/** Whom a service key names to pay: exactly one of them. An API key names nobody. */
export type Named = { apiKey?: string; accountId?: string }

/** Who asks: the request with its credential, and whom it names. Null: only API keys may ask. */
export type Claim = { request: Request; named: Named | null }

export type Found = { status: "verified"; key: Payer } | PayerRefused

/** Why nobody pays. `missing` and `unwanted` say which field a request lacks, or may not have. */
export type PayerRefused =
  | CredentialRefused
  | { status: "ip_not_allowed"; address: string }
  | { status: "service_not_allowed" }
  | { status: "account_not_found" }
  | { status: "field_missing"; path: string }
  | { status: "field_unwanted"; path: string }

/** What the script decides only once this process has learnt what it does not know. */
export type Stale = Extract<
  SpendingRefused,
  { status: "account_unknown" | "auth_changed" | "service_changed" | "counter_missing" }
>

/** The payer is known wherever the script was asked, or a check of its own has refused. */
export type Decision<Decided> =
  | { payer: Payer; outcome: Decided | Unavailable }
  | { payer: null; outcome: PayerRefused }

export type DecideSteps = {
  authenticator: Authenticator
  /** The client's address, past the proxies that are trusted. */
  addressOf(request: Request): string
  applyPending(accountId: AccountId): Promise<ApplyOutcome>
  seedCounter: Ledger["seedCounter"]
  /** Whether there is such an account. Rejects where Postgres is away. */
  hasAccount(accountId: AccountId): Promise<boolean>
}

/**
 * Finds who pays and sends what it spends. Where the script says that this process does not know
 * enough (a key changed, Redis is behind Postgres, a counter is not there), it learns and sends
 * again, AUTH_RELOADS_MAX times at most. `send` may refuse by itself, without asking the script;
 * what it refuses for a key's own list is asked of Postgres, for the list may have changed.
 */
export async function decide<Decided extends { readonly status: string }>(
  claim: Claim,
  steps: DecideSteps,
  send: (payer: Payer) => Promise<Decided | Stale> | Decided,
): Promise<Decision<Decided>> {
  let found = findPayer(claim, steps)
  if (found instanceof Promise) found = await found
  for (let reloads = 0; ; reloads++) {
    if (found.status !== "verified") return { payer: null, outcome: found }
    const payer: Payer = found.key
    const outcome = await send(payer)
    if (isStale(outcome)) {
      if (reloads === AUTH_RELOADS_MAX) return { payer, outcome: UNAVAILABLE }
      found = await learn(outcome, claim, payer, steps)
    } else if (outcome.status === "interface_not_allowed" && reloads === 0) {
      found = await findAnew(claim, steps)
    } else {
      return { payer, outcome }
    }
  }
}

export function isStale(outcome: { readonly status: string }): outcome is Stale {
  switch (outcome.status) {
    case "account_unknown":
    case "auth_changed":
    case "service_changed":
    case "counter_missing":
      return true
    default:
      return false
  }
}

/** Who pays, as far as this process knows; without a promise where that is in memory. */
export function findPayer(claim: Claim, steps: DecideSteps): Found | Promise<Found> {
  const verification = steps.authenticator.verify(claim.request.headers)
  return verification instanceof Promise
    ? verification.then((verified) => choose(verified, claim, steps))
    : choose(verification, claim, steps)
}

function choose(verified: Verification, claim: Claim, steps: DecideSteps): Found | Promise<Found> {
  const { named } = claim
  if (verified.status === "service") return findNamed(verified.service, named, steps)
  if (verified.status !== "verified") return verified
  if (named?.apiKey !== undefined) return { status: "field_unwanted", path: "/apiKey" }
  if (named?.accountId !== undefined) return { status: "field_unwanted", path: "/accountId" }
  const { allowedAddresses } = verified.key
  if (allowedAddresses === null) return verified
  const address = steps.addressOf(claim.request)
  return allowedAddresses.check(address) ? verified : checkAnew(claim, address, steps)
}

/** The list that bars an address may have changed since: a refusal asks Postgres. */
async function checkAnew(
  { request: { headers } }: Claim,
  address: string,
  { authenticator }: DecideSteps,
): Promise<Found> {
  authenticator.forget(readKey(headers) ?? "")
  const verified = await authenticator.verify(headers)
  if (verified.status === "service") return { status: "invalid_credential" }
  if (verified.status !== "verified") return verified
  const isAllowed = verified.key.allowedAddresses?.check(address) !== false
  return isAllowed ? verified : { status: "ip_not_allowed", address }
}

/** The same once more, whatever is in memory of the payer. */
export async function findAnew(claim: Claim, steps: DecideSteps): Promise<Found> {
  const credential = claim.named?.apiKey ?? readKey(claim.request.headers)
  steps.authenticator.forget(credential ?? "")
  return await findPayer(claim, steps)
}

/** Whom a service key calls for. Where that key may be used from does not bind a backend. */
async function findNamed(
  { serviceKeyId, servicesVersion }: VerifiedService,
  named: Named | null,
  { authenticator }: DecideSteps,
): Promise<Found> {
  if (named === null) return { status: "service_not_allowed" }
  const { apiKey, accountId } = named
  if (apiKey !== undefined) {
    if (accountId !== undefined) return { status: "field_unwanted", path: "/accountId" }
    const verification = await authenticator.verifyKey(apiKey)
    if (verification.status !== "verified") return verification
    const key = { ...verification.key, servicesVersion, scope: serviceKeyId }
    return { status: "verified", key }
  }
  if (accountId === undefined) return { status: "field_missing", path: "/accountId" }
  if (!isAccountId(accountId)) return { status: "account_not_found" }
  const nothing = { authVersion: null, limits: null, allowedAddresses: null, interfaces: null }
  const key = { keyId: serviceKeyId, accountId, servicesVersion, scope: serviceKeyId, ...nothing }
  return { status: "verified", key }
}

/** A Postgres that is away, or hangs, is an outcome: other items of the same request may be paid. */
export async function learn(
  ...asked: [outcome: Stale, claim: Claim, payer: Payer, steps: DecideSteps]
): Promise<Found> {
  try {
    return await within(ask(...asked), { timeoutMs: KEY_LOOKUP_MS, what: "Postgres" })
  } catch (error) {
    if (isPostgresAway(error) || error instanceof DeadlinePassed) return UNAVAILABLE
    throw error
  }
}

/** Asks Postgres what the script knows better, or brings Redis up to it; then who pays anew. */
async function ask(outcome: Stale, claim: Claim, payer: Payer, steps: DecideSteps): Promise<Found> {
  const { authenticator, applyPending, seedCounter } = steps
  switch (outcome.status) {
    case "counter_missing": {
      if (payer.limits === null) throw new Error("broken invariant: a counter without limits")
      const seeded = await seedCounter(payer.accountId, payer.limits)
      return seeded === "seeded" ? { status: "verified", key: payer } : UNAVAILABLE
    }
    case "service_changed":
      authenticator.forget(readKey(claim.request.headers) ?? "")
      return findPayer(claim, steps)
    case "auth_changed":
    case "account_unknown": {
      if (payer.authVersion === null) return openNamed(payer, steps)
      const found = await findAnew(claim, steps)
      if (isBehind(outcome, found)) await applyPending(payer.accountId)
      return found
    }
  }
}

/** An account that was made while Redis was away is opened by whoever asks for it first. */
async function openNamed(payer: Payer, { applyPending, hasAccount }: DecideSteps): Promise<Found> {
  if (!(await hasAccount(payer.accountId))) return { status: "account_not_found" }
  const opened = await applyPending(payer.accountId)
  if (opened.status === "applied") return { status: "verified", key: payer }
  return opened
}

/** Whether Postgres has instructions of the account that Redis has not applied yet. */
function isBehind(outcome: Stale, found: Found): boolean {
  if (found.status !== "verified") return false
  if (outcome.status !== "auth_changed") return true
  return (found.key.authVersion ?? 0) > outcome.authVersion
}
