import { Problem } from "../errors.ts"

/** A change that Postgres has and Redis has not heard of yet: it will, by itself. */
export function pending(advice: string): Problem {
  return new Problem("billing_unavailable", {
    detail: `The change is recorded and takes effect as soon as billing is back. ${advice}`,
    headers: { "Retry-After": "1" },
  })
}
