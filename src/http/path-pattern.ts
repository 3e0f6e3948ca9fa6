/**
 * Path patterns of interfaces: literal segments, `{name}` or `:name` for one segment, and `*` at the
 * end for the rest, be it empty: `/api/users/{id}`, `/api/files/*`.
 */
export type PatternSegment =
  | { kind: "literal"; spelling: string }
  | { kind: "parameter" }
  | { kind: "rest" }

export type PathPattern = { segments: readonly PatternSegment[]; endsInSlash: boolean }

const LITERAL = /^[A-Za-z0-9._~!$&'()+,=@-][A-Za-z0-9._~!$&'()+,=:@-]*$/
const PARAMETER = /^(?:\{\w+\}|:\w+)$/

/** Null for what is no pattern. */
export function readPattern(path: string): PathPattern | null {
  const [before, ...parts] = path.split("/")
  if (before !== "" || parts.length === 0) return null
  const endsInSlash = parts.at(-1) === ""
  if (endsInSlash) parts.pop()
  const segments: PatternSegment[] = []
  for (const [index, part] of parts.entries()) {
    const segment = readSegment(part)
    if (segment === null) return null
    if (segment.kind === "rest" && (endsInSlash || index < parts.length - 1)) return null
    segments.push(segment)
  }
  return { segments, endsInSlash }
}

function readSegment(part: string): PatternSegment | null {
  if (part === "*") return { kind: "rest" }
  if (PARAMETER.test(part)) return { kind: "parameter" }
  if (part === "." || part === ".." || !LITERAL.test(part)) return null
  return { kind: "literal", spelling: part }
}

/** The same text for patterns that fit the same paths. */
export function shapeOf({ segments }: PathPattern): string {
  return segments
    .map((segment) => {
      if (segment.kind === "literal") return `/${segment.spelling.toLowerCase()}`
      return segment.kind === "parameter" ? "/{}" : "/*"
    })
    .join("")
}
