import { readPattern, shapeOf } from "../http/path-pattern.ts"
import type { GivenChange } from "./model.ts"

/** Where what was given cannot be: a JSON pointer, and why. */
export type Fault = { status: "refused"; path: string; message: string }

/** What the record and the usage name where there is no interface. */
const RESERVED = ["custom", "unknown"]

/** The rules that no schema can state. */
export function checkFields({
  id,
  path,
  upstreamUrl,
}: GivenChange & { id?: string }): Fault | null {
  if (id !== undefined && RESERVED.includes(id)) {
    return fault("/id", "Has a meaning of its own. Choose another one.")
  }
  if (path !== undefined && readPattern(path) === null) return fault("/path", PATTERN)
  return typeof upstreamUrl === "string" ? checkUpstream(upstreamUrl) : null
}

const PATTERN =
  "Must be a path of letters, digits and -._~ that begins with a slash; {name} or :name stands for a segment, * at its end for the rest."

function checkUpstream(text: string): Fault | null {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    return fault("/upstreamUrl", "Must be a URL that begins with http:// or https://.")
  }
  // Both are shown to administrators and written to the audit log.
  if (url.username !== "" || url.password !== "") {
    return fault("/upstreamUrl", "Must hold no user name and no password.")
  }
  if (/[?#]/.test(text)) {
    return fault("/upstreamUrl", "Must have no query and no fragment: the query is the call's.")
  }
  return null
}

/** Without a slash at the end: the path of the call begins with one. */
export function readUpstream(given: string | null): string | null {
  return given === null ? null : new URL(given).href.replace(/\/+$/, "")
}

type Operation = { method: string; path: string }

/** Another interface for the same calls: nobody could say which of them is meant. */
export function checkTaken(
  { id, method, path }: Operation & { id: string },
  all: readonly (Operation & { id: string })[],
): Fault | null {
  const shape = shapeOfPath(path)
  const same = all.find(
    (each) => each.id !== id && each.method === method && shapeOfPath(each.path) === shape,
  )
  return same === undefined ? null : taken(`${same.id} has ${same.method} ${same.path}`)
}

export function taken(by: string): Fault {
  return fault("/path", `An interface has this method and path already: ${by}.`)
}

export function fault(path: string, message: string): Fault {
  return { status: "refused", path, message }
}

function shapeOfPath(path: string): string | null {
  const pattern = readPattern(path)
  return pattern === null ? null : shapeOf(pattern)
}
