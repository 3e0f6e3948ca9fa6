import { Elysia } from "elysia"
import { ERRORS, type ErrorCode } from "../errors.ts"

/** A plugin of this app. Bodies are never rewritten to fit a schema, but refused. */
export function createPlugin() {
  return new Elysia({ normalize: false })
}

type Description = {
  tag: string
  summary: string
  /** Refusals of its own, beside those that every route of its kind can give. */
  errors?: readonly ErrorCode[]
}

/** What the API document says of a route. */
export function describe({ tag, summary, errors = [] }: Description) {
  const responses: Record<string, { description: string }> = {}
  for (const code of errors) {
    const { status, title } = ERRORS[code]
    const known = responses[status]
    responses[status] = {
      description: `${known === undefined ? "" : `${known.description} `}\`${code}\`: ${title}`,
    }
  }
  return { detail: { tags: [tag], summary, responses } }
}
