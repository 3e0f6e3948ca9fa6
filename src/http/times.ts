import { Type } from "@sinclair/typebox"
import { Problem } from "../errors.ts"
import { refuseField } from "./violations.ts"

/** A moment that somebody gives: a day (its beginning in UTC), or a time with its zone. */
export const GivenTime = Type.String({
  pattern:
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2}))?$",
  maxLength: 40,
  description: "a day (2026-05-15) or a time with its zone (2026-05-15T08:00:00Z)",
  examples: ["2026-05-15T00:00:00.000Z"],
})

/** Reads a `GivenTime`; null where none is given. Throws 422 for a day that is in no calendar. */
export function readTime(path: string, given: string | undefined): Date | null {
  if (given === undefined) return null
  const time = new Date(given)
  // JavaScript takes 31 February for 3 March.
  const isReal = !Number.isNaN(time.getTime()) && isRealDay(given.slice(0, 10))
  if (isReal) return time
  throw new Problem("validation_failed", refuseField(path, "There is no such day or time."))
}

function isRealDay(day: string): boolean {
  const midnight = new Date(`${day}T00:00:00Z`)
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day)
}
