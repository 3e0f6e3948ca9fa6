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

export type IdPrefix = "acct" | "key" | "rdm" | "code" | "ses" | "aud" | "req" | "svc" | "rec"
export type CredentialPrefix = "fk" | "fa" | "fs"

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

/**
 * A new API key (`fk`) or access token (`fa`) of an account, or a service key (`fs`), which has the
 * characters of its own id. Shown once; only its hash is kept.
 */
export function newCredential(prefix: CredentialPrefix, ownerId: string): string {
  const body = `${prefix}_${ownerId.slice(-ID_CHARS)}${randomChars(SECRET_CHARS)}`
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
  return chargeIdIn(chargeMonth(at), { accountId, seq })
}

/** The same for many charges of one month. */
export function chargeIdIn(
  month: number,
  { accountId, seq }: { accountId: AccountId; seq: number },
): string {
  return `chg_${accountId.slice("acct_".length)}_${month}_${seq}`
}

export function chargeMonth(at: Date): number {
  return at.getUTCFullYear() * 100 + at.getUTCMonth() + 1
}

export const CHARGE_ID_PATTERN =
  "^chg_([0-9a-hjkmnp-tv-z]{16})_([0-9]{4})(0[1-9]|1[0-2])_([1-9][0-9]{0,14})$"
const CHARGE_ID = new RegExp(CHARGE_ID_PATTERN)

/** What a charge's id tells; its month from the first moment to that of the next. */
export type ChargeName = { accountId: AccountId; seq: number; from: Date; to: Date }

/** Null where the text is not a charge's id at all. */
export function parseChargeId(text: string): ChargeName | null {
  const match = CHARGE_ID.exec(text)
  if (match === null) return null
  const [year, month, seq] = [Number(match[2]), Number(match[3]), Number(match[4])]
  const [from, to] = [new Date(Date.UTC(year, month - 1)), new Date(Date.UTC(year, month))]
  return { accountId: parseAccountId(`acct_${match[1]}`), seq, from, to }
}

/**
 * A hold's id tells its name in Redis (account and 16 random characters), its generation, and the
 * keys that its resolution touches: the API key whose budgets it counts in, and the digest of the
 * keyed request that waits for it. Opaque to callers, and nothing is believed of it but the names.
 */
export type HoldId = {
  accountId: AccountId
  /** 32 characters: the account's 16, and 16 of the hold's own. */
  name: string
  generation: number
  keyId: string | null
  runningDigest: string | null
}

const CHARS_16 = "([0-9a-hjkmnp-tv-z]{16})"
const HOLD_ID = new RegExp(
  `^hold_${CHARS_16}${CHARS_16}\\.(\\d{1,9})(?:\\.${CHARS_16}?)?(?:\\.([\\w-]{16}))?$`,
)

export function holdId(hold: Omit<HoldId, "accountId">): string {
  const { name, generation, keyId, runningDigest } = hold
  const key = keyId === null ? "" : keyId.slice("key_".length)
  const tail = runningDigest === null ? (key === "" ? "" : `.${key}`) : `.${key}.${runningDigest}`
  return `hold_${name}.${generation}${tail}`
}

/** Null where the text is not a hold's id at all. */
export function parseHoldId(text: string): HoldId | null {
  const match = HOLD_ID.exec(text)
  if (match === null) return null
  const [, account = "", own = "", generation = "", key, digest] = match
  return {
    accountId: parseAccountId(`acct_${account}`),
    name: account + own,
    generation: Number(generation),
    keyId: key === undefined ? null : `key_${key}`,
    runningDigest: digest ?? null,
  }
}
