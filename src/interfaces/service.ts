import type { Sql } from "../../db/connection.ts"
import { addInterface } from "../../db/queries/add-interface.ts"
import { changeInterface } from "../../db/queries/change-interface.ts"
import { type ListedInterface, listInterfaces } from "../../db/queries/list-interfaces.ts"
import { loadInterfaces } from "../../db/queries/load-interfaces.ts"
import { readInterface } from "../../db/queries/read-interface.ts"
import { removeInterface } from "../../db/queries/remove-interface.ts"
import { type Actor, auditOf } from "../audit.ts"
import { violatedIndexOf } from "../http/failure.ts"
import { INTERFACE_BODY_BYTES_DEFAULT, UPSTREAM_TIMEOUT_MS_DEFAULT } from "../limits.ts"
import type { GivenChange, GivenInterface } from "./model.ts"
import { checkFields, checkTaken, type Fault, fault, readUpstream, taken } from "./rules.ts"

export type SaveOutcome =
  | { status: "saved"; saved: ListedInterface }
  | { status: "not_found" }
  | Fault

export type InterfacesDeps = {
  sql: Sql
  /** Resolves when this gateway knows of a change; the others are told by Postgres. */
  onChange(): Promise<void>
}

export function createInterfaceService({ sql, onChange }: InterfacesDeps) {
  return {
    add,
    change,
    remove,
    read: (id: string) => readInterface(sql, id),
    list: (page: Parameters<typeof listInterfaces>[1]) => listInterfaces(sql, page),
  }

  async function add(given: GivenInterface, by: Actor): Promise<SaveOutcome> {
    const found = checkFields(given) ?? checkTaken(given, await loadInterfaces(sql))
    if (found !== null) return found
    const { id, ...details } = {
      ...given,
      chargeOn: given.chargeOn ?? "2xx",
      upstreamUrl: readUpstream(given.upstreamUrl ?? null),
      timeoutMs: given.timeoutMs ?? UPSTREAM_TIMEOUT_MS_DEFAULT,
      bodyBytesMax: given.bodyBytesMax ?? INTERFACE_BODY_BYTES_DEFAULT,
    }
    const audit = auditOf(by, "interface.created", details)
    return save(() => addInterface(sql, { id, ...details, audit }))
  }

  async function change(id: string, given: GivenChange, by: Actor): Promise<SaveOutcome> {
    const known = await readInterface(sql, id)
    if (known === null) return { status: "not_found" }
    const { method = known.method, path = known.path, upstreamUrl } = given
    const found = checkFields(given) ?? checkTaken({ id, method, path }, await loadInterfaces(sql))
    if (found !== null) return found
    const change = {
      ...given,
      ...(upstreamUrl !== undefined && { upstreamUrl: readUpstream(upstreamUrl) }),
    }
    const audit = auditOf(by, "interface.changed", change)
    return save(() => changeInterface(sql, { id, change, audit }))
  }

  async function remove(id: string, by: Actor): Promise<boolean> {
    const audit = auditOf(by, "interface.deleted", {})
    const isRemoved = await removeInterface(sql, { id, audit })
    if (isRemoved) await onChange()
    return isRemoved
  }

  async function save(write: () => Promise<ListedInterface | null>): Promise<SaveOutcome> {
    try {
      const saved = await write()
      if (saved === null) return { status: "not_found" }
      await onChange()
      return { status: "saved", saved }
    } catch (error) {
      const violated = violatedIndexOf(error)
      if (violated === "interfaces_pkey") return fault("/id", "An interface has this id already.")
      if (violated === "interfaces_method_path") return taken("another one has them")
      throw error
    }
  }
}
