import type { Sql } from "../../db/connection.ts"
import { addServiceKey } from "../../db/queries/add-service-key.ts"
import { changeServiceKey } from "../../db/queries/change-service-key.ts"
import { type ListedServiceKey, listServiceKeys } from "../../db/queries/list-service-keys.ts"
import { removeServiceKey } from "../../db/queries/remove-service-key.ts"
import { type Actor, auditOf } from "../audit.ts"
import { hashCredential, newCredential, newId } from "../ids.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { sweepServices } from "../ledger/sweep-services.ts"

/** `pending`: Postgres has the change, Redis has not heard of it yet; it will, by itself. */
export type ChangeOutcome =
  | { status: "changed"; key: ListedServiceKey }
  | { status: "not_found" }
  | { status: "pending" }

export type RemoveOutcome = { status: "removed" } | { status: "not_found" } | { status: "pending" }

export type ServicesDeps = { sql: Sql; ledger: Pick<Ledger, "raiseServices"> }

/** The credentials of a provider's backends, which charge on behalf of accounts. */
export function createServices({ sql, ledger }: ServicesDeps) {
  async function create(
    name: string,
    by: Actor,
  ): Promise<{ key: ListedServiceKey; credential: string }> {
    const id = newId("svc")
    const credential = newCredential("fs", id)
    const audit = auditOf(by, "service_key.created", { name })
    const key = await addServiceKey(sql, { id, name, keyHash: hashCredential(credential), audit })
    return { key, credential }
  }

  /**
   * A switch counts once the ledger has it: from then on no gateway takes the old state for true
   * (promise 7). Asking again for what is already so brings a pending switch to an end.
   */
  async function change(
    { id, name, isEnabled }: { id: string; name: string | null; isEnabled: boolean | null },
    by: Actor,
  ): Promise<ChangeOutcome> {
    const details = {
      ...(name !== null && { name }),
      ...(isEnabled !== null && { enabled: isEnabled }),
    }
    const audit = auditOf(by, "service_key.changed", details)
    const key = await changeServiceKey(sql, { id, name, isEnabled, audit })
    if (key === null) return { status: "not_found" }
    return isEnabled === null || (await isRaised())
      ? { status: "changed", key }
      : { status: "pending" }
  }

  async function remove(id: string, by: Actor): Promise<RemoveOutcome> {
    const audit = auditOf(by, "service_key.deleted", {})
    const isRemoved = await removeServiceKey(sql, { id, audit })
    if (!isRemoved) return { status: "not_found" }
    return (await isRaised()) ? { status: "removed" } : { status: "pending" }
  }

  function isRaised(): Promise<boolean> {
    return sweepServices(sql, ledger.raiseServices)
  }

  return {
    create,
    change,
    remove,
    list: (page: Parameters<typeof listServiceKeys>[1]) => listServiceKeys(sql, page),
  }
}
