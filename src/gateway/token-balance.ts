import type { Guard } from "../http/authenticate.ts"
import { type Read, readOrOpen } from "./balance.ts"
import type { CallSteps } from "./call.ts"

/** The balance of an access token's account, or that the request carries no such token. */
export type ReadTokenBalance = (
  request: Request,
) => Promise<Read | { status: "unavailable" } | { status: "not_a_token" }>

export function createTokenBalance({
  guard,
  ...steps
}: { guard: Guard } & Pick<CallSteps, "readAccount" | "applyPending">): ReadTokenBalance {
  return async (request) => {
    if (!carriesToken(request.headers)) return { status: "not_a_token" }
    const { principal } = await guard.account({ request })
    return await readOrOpen(principal.accountId, steps)
  }
}

/** An access token or, in a browser, the session's cookie; a key goes before a cookie. */
function carriesToken(headers: Headers): boolean {
  const authorization = headers.get("authorization")
  if (authorization !== null) return /^bearer +fa_/i.test(authorization)
  return !headers.has("x-api-key") && headers.has("cookie")
}
