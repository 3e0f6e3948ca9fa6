import { type PathPattern, readPattern } from "../http/path-pattern.ts"

/** The route whose pattern a call fits, and the call's path as it is forwarded. */
export type Routed<Route> = { route: Route; path: string }

/** A method, or `ANY` of those in `METHODS`, and a path pattern (http/path-pattern.ts). */
export type Pattern = { method: string; path: string }

/** The methods that are matched, and forwarded: CONNECT and TRACE are for proxies, not for APIs. */
export const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const

type Node<Route> = {
  /** By the segment in lower case. */
  literals: Map<string, Node<Route>>
  parameter: Node<Route> | null
  /** The patterns that end here, and those whose `*` begins here, by method. */
  ends: Map<string, End<Route>>
  rests: Map<string, End<Route>>
}
type End<Route> = { route: Route; pattern: PathPattern }

/**
 * Finds the most specific pattern that a call fits: segment by segment a literal goes before a
 * parameter, and that before a trailing `*`. HEAD takes GET's where there is none of its own.
 *
 * What is matched is what is forwarded. Upstreams are forgiving in many ways, so that a call must
 * not reach one operation at another's price: literals match in any case and percent-encoded too,
 * with or without a slash at the end, and are forwarded as their pattern spells them. A path that
 * servers read in different ways (empty or dot segments, encoded slashes, `;`) fits no pattern.
 */
export function createRouting<Route>(routes: readonly (Pattern & { route: Route })[]) {
  const root = createNode<Route>()
  for (const route of routes) add(root, route)
  /** What most calls ask for, known by their text. */
  const known = new Map<string, Routed<Route>>()
  for (const { path } of routes) {
    for (const method of METHODS) {
      const found = /[*:{]/.test(path) ? null : find(root, method, path)
      if (found?.path === path) known.set(`${method} ${path}`, found)
    }
  }

  /** Null where no pattern fits. The path comes as it was sent, without its query. */
  return function match(method: string, path: string): Routed<Route> | null {
    return known.get(`${method} ${path}`) ?? find(root, method, path)
  }
}

function createNode<Route>(): Node<Route> {
  return { literals: new Map(), parameter: null, ends: new Map(), rests: new Map() }
}

function add<Route>(root: Node<Route>, { method, path, route }: Pattern & { route: Route }): void {
  const pattern = readPattern(path)
  // Nothing but the administration writes patterns, and it checks them.
  if (pattern === null) return
  let node = root
  for (const segment of pattern.segments) {
    if (segment.kind === "rest") {
      node.rests.set(method, { route, pattern })
      return
    }
    node = segment.kind === "literal" ? literalOf(node, segment.spelling) : parameterOf(node)
  }
  node.ends.set(method, { route, pattern })
}

function literalOf<Route>({ literals }: Node<Route>, spelling: string): Node<Route> {
  const key = spelling.toLowerCase()
  const node = literals.get(key) ?? createNode<Route>()
  literals.set(key, node)
  return node
}

function parameterOf<Route>(node: Node<Route>): Node<Route> {
  node.parameter ??= createNode<Route>()
  return node.parameter
}

function find<Route>(root: Node<Route>, method: string, path: string): Routed<Route> | null {
  const read = METHODS.some((each) => each === method) ? readPath(path) : null
  const end = read === null ? null : walk(root, { ...read, method }, 0)
  if (read === null || end === null) return null
  return { route: end.route, path: spell(end.pattern, read.sent) }
}

/** The segments of a path as they were sent, and as literals are compared. */
type Read = { sent: readonly string[]; compared: readonly string[] }

function walk<Route>(
  node: Node<Route>,
  asked: Read & { method: string },
  at: number,
): End<Route> | null {
  const { sent, compared, method } = asked
  if (at === sent.length || (at === sent.length - 1 && sent[at] === "")) {
    const end = choose(node.ends, method)
    if (end !== null) return end
  } else {
    const literal = node.literals.get(compared[at] ?? "")
    const found =
      (literal === undefined ? null : walk(literal, asked, at + 1)) ??
      (node.parameter === null ? null : walk(node.parameter, asked, at + 1))
    if (found !== null) return found
  }
  return choose(node.rests, method)
}

function choose<Found>(table: ReadonlyMap<string, Found>, method: string): Found | null {
  const own = table.get(method) ?? (method === "HEAD" ? table.get("GET") : undefined)
  return own ?? table.get("ANY") ?? null
}

/** Literals as the pattern spells them, the rest as it was sent. */
function spell({ segments, endsInSlash }: PathPattern, sent: readonly string[]): string {
  let path = ""
  for (const [at, segment] of segments.entries()) {
    if (segment.kind === "literal") path += `/${segment.spelling}`
    else if (segment.kind === "parameter") path += `/${sent[at]}`
    else for (const rest of sent.slice(at)) path += `/${rest}`
  }
  return endsInSlash ? `${path}/` : path
}

const UNCLEAR = /[^!-~]|[\\;#?]/
const UNCLEAR_DECODED = /\p{Cc}|[/\\]|^\.\.?$/u

/** Null where servers may read the path in more than one way. */
function readPath(path: string): Read | null {
  if (!path.startsWith("/") || UNCLEAR.test(path)) return null
  const sent = path.slice(1).split("/")
  const compared: string[] = []
  for (const [at, segment] of sent.entries()) {
    if (segment === "" && at < sent.length - 1) return null
    const decoded = decode(segment)
    if (decoded === null || UNCLEAR_DECODED.test(decoded)) return null
    compared.push(decoded.toLowerCase())
  }
  return { sent, compared }
}

function decode(segment: string): string | null {
  if (!segment.includes("%")) return segment
  try {
    return decodeURIComponent(segment)
  } catch (error) {
    // It is not percent-encoded UTF-8.
    if (error instanceof URIError) return null
    throw error
  }
}
