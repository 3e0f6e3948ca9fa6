import { createHash, randomFillSync, timingSafeEqual } from "node:crypto"

/**
 * Ids and credentials. All are random: an id from a sequence would be given twice after Postgres
 * is restored to an earlier point, and the newcomer would find another account's balance in Redis.
 *
 * An account id is `acct_` and 16 characters. An API key is `fk_`, the 16 characters of its
 * account, 28 secret ones and 4 that check the rest: so the account, and with it the partition, is
 * known before anything is looked up, and a mistyped key is refused without a look-up at all.
 */

// Crockford's base 32 in lower case: no i, l, o or u, so that an id can be read aloud.
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
const ID_CHARS = 16
const SECRET_CHARS = 28
const CHECK_CHARS = 4

declare const accountBrand: unique symbol

/** `acct_` and 16 characters. */
export type AccountId = string & { readonly [accountBrand]: "account" }

export type IdPrefix = "acct" | "key" | "rdm" | "code" | "ses" | "aud" | "req"
export type CredentialPrefix = "fk" | "fa"

const pool = new Uint8Array(4_096)
let poolAt = pool.length

/** `count` random characters of 5 bits each, from a pool so that an id costs no system call. */
export function randomChars(count: number): string {
  let chars = ""
  for (let i = 0; i < count; i++) {
    if (poolAt === pool.length) {
      randomFillSync(pool)
      poolAt = 0
    }
    chars += ALPHABET[(pool[poolAt++] ?? 0) & 31]
  }
  return chars
}

export function newId(prefix: Exclude<IdPrefix, "acct">): string {
  return `${prefix}_${randomChars(ID_CHARS)}`
}

export function newAccountId(): AccountId {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the door for new account ids
  return `acct_${randomChars(ID_CHARS)}` as AccountId
}

/** 10 characters, 50 random bits: read aloud and typed by people. */
export function newInviteCode(): string {
  return randomChars(10)
}

const ACCOUNT_ID = /^acct_[0-9a-hjkmnp-tv-z]{16}$/

export function isAccountId(text: string): text is AccountId {
  return ACCOUNT_ID.test(text)
}

/** Takes text from a trusted store as an account id; throws where it is not one. */
export function parseAccountId(text: string): AccountId {
  if (!isAccountId(text)) throw new TypeError(`not an account id: ${text}`)
  return text
}

/** A new API key (`fk`) or access token (`fa`) of an account. Shown once; only its hash is kept. */
export function newCredential(prefix: CredentialPrefix, accountId: AccountId): string {
  const body = `${prefix}_${accountId.slice("acct_".length)}${randomChars(SECRET_CHARS)}`
  return body + checkChars(body)
}

const CREDENTIAL = /^(fk|fa|fs)_([0-9a-hjkmnp-tv-z]{16})[0-9a-hjkmnp-tv-z]{32}$/

/**
 * What a well-formed credential says of itself. Answers null for anything else, one character off
 * included. It proves nothing: the hash has still to be known.
 */
export function readCredential(text: string): { prefix: string; accountId: AccountId } | null {
  const match = CREDENTIAL.exec(text)
  if (match === null || text.slice(-CHECK_CHARS) !== checkChars(text.slice(0, -CHECK_CHARS))) {
    return null
  }
  return { prefix: match[1] ?? "", accountId: parseAccountId(`acct_${match[2]}`) }
}

/** SHA-256 of a credential, in hex: what Postgres keeps. 140 random bits need no salt. */
export function hashCredential(text: string): string {
  return createHash("sha256").update(text).digest("hex")
}

/** Compares secrets, or hashes of them, in a time that tells nothing of where they differ. */
export function isSameSecret(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)]
  return a.length === b.length && timingSafeEqual(a, b)
}

/** The partition of an account: fixed by its id and the number of partitions alone. */
export function partitionOf(accountId: AccountId, partitions: number): number {
  return partitions === 1 ? 0 : Bun.hash.crc32(accountId) % partitions
}

function checkChars(body: string): string {
  let rest = Bun.hash.crc32(body)
  let chars = ""
  for (let i = 0; i < CHECK_CHARS; i++) {
    chars += ALPHABET[rest & 31]
    rest >>>= 5
  }
  return chars
}

/**
 * A charge's id tells its account, month (UTC) and number, so that it needs no column and no index
 * (DESIGN section 8). The view `reporting.change_records` builds the same text.
 */
export function chargeId({
  accountId,
  seq,
  at,
}: {
  accountId: AccountId
  seq: number
  at: Date
}): string {
  const month = at.getUTCFullYear() * 100 + at.getUTCMonth() + 1
  return `chg_${accountId.slice("acct_".length)}_${month}_${seq}`
}
