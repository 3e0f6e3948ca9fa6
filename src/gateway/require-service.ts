import { type ErrorCode, Problem } from "../errors.ts"
import type { Authenticator, VerifiedService } from "./authenticate.ts"

/**
 * The service key of a request that no script decides; throws a `Problem` where it has none. What is
 * in memory may be disabled by now: whoever acts on it looks at the key itself.
 */
export function createRequireService({ verify }: Pick<Authenticator, "verify">) {
  return async function requireService({ headers }: Request): Promise<VerifiedService> {
    const verification = await verify(headers)
    switch (verification.status) {
      case "service":
        return verification.service
      case "verified":
        throw new Problem("invalid_credential", {
          detail: "Only a service key (fs_…) may do that; this is an API key.",
        })
      case "unavailable":
        throw new Problem("billing_unavailable", { headers: { "Retry-After": "1" } })
      case "missing_credential":
      case "invalid_credential":
      case "key_disabled":
        throw new Problem(verification.status, {
          detail: "Send a service key that is valid, as Authorization: Bearer fs_….",
        })
    }
  }
}

/** What is wrong with a request's credential; null where it is an API key or a service key that is valid. */
export function createVerifyKey({ verify }: Pick<Authenticator, "verify">) {
  return async function verifyKey(headers: Headers): Promise<ErrorCode | null> {
    const { status } = await verify(headers)
    if (status === "verified" || status === "service") return null
    return status === "unavailable" ? "billing_unavailable" : status
  }
}
