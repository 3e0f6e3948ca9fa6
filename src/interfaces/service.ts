import type { Sql } from "../../db/connection.ts"
import { addInterface } from "../../db/queries/add-interface.ts"
import { changeInterface } from "../../db/queries/change-interface.ts"
import { type ListedInterface, listInterfaces } from "../../db/queries/list-interfaces.ts"
import { loadInterfaces } from "../../db/queries/load-interfaces.ts"
import { readInterface } from "../../db/queries/read-interface.ts"
import { removeInterface } from "../../db/queries/remove-interface.ts"
import { type Actor, auditOf } from "../audit.ts"
import { violatedIndexOf } from "../http/failure.ts"
import { readPattern, shapeOf } from "../http/path-pattern.ts"
import { INTERFACE_BODY_BYTES_DEFAULT, UPSTREAM_TIMEOUT_MS_DEFAULT } from "../limits.ts"
import type { GivenChange, GivenInterface } from "./model.ts"

/** Where what was given cannot be: a JSON pointer, and why. */
export type Fault = { status: "refused"; path: string; message: string }
export type SaveOutcome =
  | { status: "saved"; saved: ListedInterface }
  | { status: "not_found" }
  | Fault

export type InterfacesDeps = {
  sql: Sql
  /** Resolves when this gateway knows of a change; the others are told by Postgres. */
  onChange(): Promise<void>
}

/** What the record and the usage name where there is no interface. */
const RESERVED = ["custom", "unknown"]

export function createInterfaceService({ sql, onChange }: InterfacesDeps) {
  return {
    add,
    change,
    remove,
    read: (id: string) => readInterface(sql, id),
    list: (page: Parameters<typeof listInterfaces>[1]) => listInterfaces(sql, page),
  }

  async function add(given: GivenInterface, by: Actor): Promise<SaveOutcome> {
    const { id } = given
    if (RESERVED.includes(id)) return refused("/id", "This id has a meaning of its own.")
    const fault = checkFields(given) ?? (await checkPattern({ ...given, except: null }))
    if (fault !== null) return fault
    const made = {
      ...given,
      chargeOn: given.chargeOn ?? "2xx",
      upstreamUrl: readUpstream(given.upstreamUrl) ?? null,
      timeoutMs: given.timeoutMs ?? UPSTREAM_TIMEOUT_MS_DEFAULT,
      bodyBytesMax: given.bodyBytesMax ?? INTERFACE_BODY_BYTES_DEFAULT,
    }
    const { id: _, ...details } = made
    const audit = auditOf(by, "interface.created", details)
    return save(() => addInterface(sql, { ...made, audit }))
  }

  async function change(id: string, given: GivenChange, by: Actor): Promise<SaveOutcome> {
    const fault = checkFields(given)
    if (fault !== null) return fault
    const known = await readInterface(sql, id)
    if (known === null) return { status: "not_found" }
    const { method = known.method, path = known.path } = given
    const taken = await checkPattern({ method, path, except: id })
    if (taken !== null) return taken
    const { upstreamUrl, ...rest } = given
    const change = {
      ...rest,
      ...(upstreamUrl !== undefined && { upstreamUrl: readUpstream(upstreamUrl) ?? null }),
    }
    const audit = auditOf(by, "interface.changed", change)
    return save(() => changeInterface(sql, { id, change, audit }))
  }

  async function remove(id: string, by: Actor): Promise<boolean> {
    const isRemoved = await removeInterface(sql, {
      id,
      audit: auditOf(by, "interface.deleted", {}),
    })
    if (isRemoved) await onChange()
    return isRemoved
  }

  /** Another interface for the same calls: nobody could say which of them is meant. */
  async function checkPattern(given: {
    method: string
    path: string
    except: string | null
  }): Promise<Fault | null> {
    const shape = shapeOfPath(given.path)
    const others = await loadInterfaces(sql)
    const same = others.find(
      ({ id, method, path }) =>
        id !== given.except && method === given.method && shapeOfPath(path) === shape,
    )
    return same === undefined ? null : taken(`${same.id} has ${same.method} ${same.path}`)
  }

  async function save(write: () => Promise<ListedInterface | null>): Promise<SaveOutcome> {
    try {
      const saved = await write()
      if (saved === null) return { status: "not_found" }
      await onChange()
      return { status: "saved", saved }
    } catch (error) {
      const violated = violatedIndexOf(error)
      if (violated === "interfaces_pkey") return refused("/id", "An interface has this id already.")
      if (violated === "interfaces_method_path") return taken("another one has them")
      throw error
    }
  }
}

function taken(by: string): Fault {
  return refused("/path", `An interface has this method and path already: ${by}.`)
}

/** The rules that no schema can state. */
function checkFields({ path, upstreamUrl }: GivenChange): Fault | null {
  if (path !== undefined && readPattern(path) === null) return refused("/path", PATTERN)
  if (upstreamUrl === undefined || upstreamUrl === null) return null
  const url = URL.canParse(upstreamUrl) ? new URL(upstreamUrl) : null
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    return refused("/upstreamUrl", "Must be a URL that begins with http:// or https://.")
  }
  if (url.username !== "" || url.password !== "") {
    return refused("/upstreamUrl", "Must hold no user name and no password.")
  }
  if (/[?#]/.test(upstreamUrl)) {
    return refused("/upstreamUrl", "Must have no query and no fragment: those come with the call.")
  }
  return null
}

const PATTERN =
  "Must be a path of letters, digits and -._~ that begins with a slash; {name} or :name stands for a segment, * at its end for the rest."

/** Without a slash at the end: the path of the call begins with one. */
function readUpstream(given: string | null | undefined): string | null | undefined {
  return typeof given === "string" ? new URL(given).href.replace(/\/+$/, "") : given
}

function shapeOfPath(path: string): string | null {
  const pattern = readPattern(path)
  return pattern === null ? null : shapeOf(pattern)
}

function refused(path: string, message: string): Fault {
  return { status: "refused", path, message }
}
