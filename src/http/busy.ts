import { Problem } from "../errors.ts"

/** The refusal of a login or registration while too many are waiting. */
export function tooBusy(): Problem {
  return new Problem("billing_unavailable", {
    detail: "Too many logins and registrations are waiting. Try again in a few seconds.",
    headers: { "Retry-After": "2" },
  })
}
