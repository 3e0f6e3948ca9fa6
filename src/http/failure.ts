import { NotFoundError, ParseError, ValidationError } from "elysia"
import { Problem } from "../errors.ts"
import { describeViolations } from "./violations.ts"

/** What the client is told of anything that was thrown. Never the text of an exception. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof ParseError) return readParseError(error)
  if (error instanceof NotFoundError) return unknownRoute()
  if (error instanceof ValidationError) return readValidationError(error)
  if (isPostgresAway(error)) {
    return new Problem("billing_unavailable", {
      detail: "The record cannot be reached now, and nothing was changed. Try again in a second.",
      headers: { "Retry-After": "1" },
    })
  }
  return new Problem("internal_error", {
    detail: "The request could not be finished. If it happens again, report the requestId.",
  })
}

/** Thrown before the route could ask who sends this: its body, query or path does not fit. */
export function isAboutContent(error: unknown): boolean {
  if (error instanceof ValidationError) return error.type !== "response"
  return error instanceof ParseError
}

function readParseError({ cause }: ParseError): Problem {
  if (cause instanceof Problem) return cause
  return new Problem("malformed_json", {
    detail: "The body could not be read as JSON. Check its quotes, commas, brackets and depth.",
  })
}

function unknownRoute(): Problem {
  return new Problem("not_found", {
    detail: "No such method and path. GET /openapi.json lists what there is.",
  })
}

function readValidationError(error: ValidationError): Problem {
  if (error.type === "response") {
    return new Problem("internal_error", { detail: "The answer did not fit its own description." })
  }
  // An id that cannot exist is answered like one that does not.
  if (error.type === "params") return new Problem("not_found")
  return new Problem("validation_failed", describeViolations(error))
}

const AWAY_CODES = new Set([
  "CONNECT_TIMEOUT",
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
  "FailedToOpenSocket",
  // Postgres: too many connections, and a statement that its own timeout ended.
  "53300",
  "57014",
])

/** Postgres cannot be reached, starts, stops, or does not answer in time. */
export function isPostgresAway(error: unknown): boolean {
  const code = postgresCodeOf(error)
  return code !== null && (AWAY_CODES.has(code) || /^(08|57P)/.test(code))
}

/** The code of an error, or of what caused it: drizzle wraps what the client threw. */
export function postgresCodeOf(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  if (error.cause instanceof Error) return postgresCodeOf(error.cause)
  return "code" in error && typeof error.code === "string" ? error.code : null
}

/** The unique index or constraint that an insert ran into; null where that is not what happened. */
export function violatedIndexOf(error: unknown): string | null {
  if (!(error instanceof Error) || postgresCodeOf(error) !== "23505") return null
  const cause = error.cause instanceof Error ? error.cause : error
  return "constraint_name" in cause ? String(cause.constraint_name) : null
}

/**
 * One line about a failure for the operator: name, code and place. Not the message of an error that
 * comes from Postgres, because drizzle's holds the query and its parameters.
 */
export function describeFailure(error: unknown, requestId: string): string {
  if (!(error instanceof Error)) return `request ${requestId} failed: a ${typeof error} was thrown`
  const code = postgresCodeOf(error)
  const said = code === null && !(error instanceof ValidationError) ? `: ${error.message}` : ""
  const place = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line))
  const where = place
    .map((line) => line.trim())
    .slice(0, 8)
    .join(" < ")
  const what = `${error.name}${code === null ? "" : ` ${code}`}${said}`
  return `request ${requestId} failed: ${what.replaceAll(/\s+/g, " ")} ${where}`
}
