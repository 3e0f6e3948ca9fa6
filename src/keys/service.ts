import type { Sql } from "../../db/connection.ts"
import { addKey } from "../../db/queries/add-key.ts"
import { changeKey } from "../../db/queries/change-key.ts"
import { type ListedKey, listKeys } from "../../db/queries/list-keys.ts"
import { readKey } from "../../db/queries/read-key.ts"
import { removeKey } from "../../db/queries/remove-key.ts"
import { type AccountId, hashCredential, newCredential, newId } from "../ids.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { KEYS_PER_ACCOUNT_MAX } from "../limits.ts"

type KeyOf = { accountId: AccountId; id: string }

export type CreateOutcome =
  | { status: "created"; key: ListedKey; credential: string }
  | { status: "too_many_keys" }

/** `pending`: Postgres has the change, Redis has not heard of it yet; it will, by itself. */
export type ChangeOutcome =
  | { status: "changed"; key: ListedKey }
  | { status: "not_found" }
  | { status: "pending" }

export type RemoveOutcome = { status: "removed" } | { status: "not_found" } | { status: "pending" }

export type KeysDeps = { sql: Sql; ledger: Pick<Ledger, "applyPending"> }

export function createKeys({ sql, ledger }: KeysDeps) {
  async function create({
    accountId,
    name,
  }: {
    accountId: AccountId
    name: string
  }): Promise<CreateOutcome> {
    const credential = newCredential("fk", accountId)
    const keyHash = hashCredential(credential)
    const added = { id: newId("key"), accountId, name, keyHash, keysMax: KEYS_PER_ACCOUNT_MAX }
    const key = await addKey(sql, added)
    return key === null ? { status: "too_many_keys" } : { status: "created", key, credential }
  }

  /**
   * A switch counts once the ledger has it: from then on no gateway takes the old state for true
   * (promise 7). Asking again for what is already so brings a pending switch to an end.
   */
  async function change(
    asked: KeyOf & { name: string | null; isEnabled: boolean | null },
  ): Promise<ChangeOutcome> {
    const key = await changeKey(sql, asked)
    if (key === null) return { status: "not_found" }
    if (asked.isEnabled === null || (await isApplied(asked.accountId)))
      return { status: "changed", key }
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
    remove,
    read: (key: KeyOf) => readKey(sql, key),
    list: (page: Parameters<typeof listKeys>[1]) => listKeys(sql, page),
  }
}
