import type { Sql } from "../../db/connection.ts"
import { addKey } from "../../db/queries/add-key.ts"
import { changeKey } from "../../db/queries/change-key.ts"
import { type ListedKey, listKeys } from "../../db/queries/list-keys.ts"
import { listUnknownInterfaces } from "../../db/queries/list-unknown-interfaces.ts"
import { readKey } from "../../db/queries/read-key.ts"
import { removeKey } from "../../db/queries/remove-key.ts"
import { rotateKey } from "../../db/queries/rotate-key.ts"
import { type AccountId, hashCredential, newCredential, newId } from "../ids.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { KEYS_PER_ACCOUNT_MAX } from "../limits.ts"
import type { LimitsAsked } from "./limits.ts"

type KeyOf = { accountId: AccountId; id: string }
type UnknownInterfaces = { status: "unknown_interfaces"; ids: string[] }

export type CreateOutcome =
  | { status: "created"; key: ListedKey; credential: string }
  | { status: "too_many_keys" }
  | UnknownInterfaces

/** `pending`: Postgres has the change, Redis has not heard of it yet; it will, by itself. */
export type ChangeOutcome =
  | { status: "changed"; key: ListedKey }
  | { status: "not_found" }
  | { status: "pending" }
  | UnknownInterfaces

/** `unavailable`: billing is away, and nothing was changed. */
export type RotateOutcome =
  | { status: "rotated"; key: ListedKey; credential: string }
  | { status: "not_found" }
  | { status: "unavailable" }
  | { status: "pending" }

export type RemoveOutcome = { status: "removed" } | { status: "not_found" } | { status: "pending" }

export type KeysDeps = { sql: Sql; ledger: Pick<Ledger, "applyPending"> }

export function createKeys({ sql, ledger }: KeysDeps) {
  async function create(asked: {
    accountId: AccountId
    name: string
    limits: LimitsAsked
  }): Promise<CreateOutcome> {
    const { accountId, name } = asked
    const unknown = await findUnknown(sql, asked.limits)
    if (unknown !== null) return unknown
    const credential = newCredential("fk", accountId)
    const key = await addKey(sql, {
      id: newId("key"),
      accountId,
      name,
      keyHash: hashCredential(credential),
      limits: JSON.stringify(asked.limits),
      keysMax: KEYS_PER_ACCOUNT_MAX,
    })
    return key === null ? { status: "too_many_keys" } : { status: "created", key, credential }
  }

  /**
   * A switch, or other limits, count once the ledger has them: from then on no gateway takes the old
   * state for true (promise 7). Asking again for what is already so brings what is pending to an end.
   */
  async function change(
    asked: KeyOf & { name: string | null; isEnabled: boolean | null; limits: LimitsAsked | null },
  ): Promise<ChangeOutcome> {
    const limits = asked.limits ?? {}
    const unknown = await findUnknown(sql, limits)
    if (unknown !== null) return unknown
    const key = await changeKey(sql, { ...asked, limits: JSON.stringify(limits) })
    if (key === null) return { status: "not_found" }
    const isOnlyRenamed = asked.isEnabled === null && asked.limits === null
    if (isOnlyRenamed || (await isApplied(asked.accountId))) return { status: "changed", key }
    return { status: "pending" }
  }

  /**
   * The new secret is shown by this answer alone. So billing is asked first, and nothing happens
   * while it is away. If it goes away in between, only a rotation that ends a secret is refused: it
   * must not be answered before that secret is dead.
   */
  async function rotate(asked: KeyOf & { overlapSeconds: number }): Promise<RotateOutcome> {
    if ((await readKey(sql, asked)) === null) return { status: "not_found" }
    if (!(await isApplied(asked.accountId))) return { status: "unavailable" }
    const credential = newCredential("fk", asked.accountId)
    const key = await rotateKey(sql, { ...asked, keyHash: hashCredential(credential) })
    if (key === null) return { status: "not_found" }
    if ((await isApplied(asked.accountId)) || !key.isSecretEnded)
      return { status: "rotated", key, credential }
    return { status: "pending" }
  }

  async function remove(key: KeyOf): Promise<RemoveOutcome> {
    const isRemoved = await removeKey(sql, key)
    if (!isRemoved) return { status: "not_found" }
    return (await isApplied(key.accountId)) ? { status: "removed" } : { status: "pending" }
  }

  async function isApplied(accountId: AccountId): Promise<boolean> {
    return (await ledger.applyPending(accountId)).status === "applied"
  }

  return {
    create,
    change,
    rotate,
    remove,
    read: (key: KeyOf) => readKey(sql, key),
    list: (page: Parameters<typeof listKeys>[1]) => listKeys(sql, page),
  }
}

async function findUnknown(sql: Sql, limits: LimitsAsked): Promise<UnknownInterfaces | null> {
  const { interfaces = null } = limits
  if (interfaces === null) return null
  const ids = await listUnknownInterfaces(sql, interfaces)
  return ids.length === 0 ? null : { status: "unknown_interfaces", ids }
}
