import type { Guard } from "../http/authenticate.ts"
import { type BalanceAnswer, type BalanceSteps, readOrOpen } from "./balance.ts"

/** Reads the balance of an access token's account, or says that the request carries no such token. */
export function createTokenBalance({
  guard,
  ...steps
}: { guard: Guard } & Pick<BalanceSteps, "readAccount" | "applyPending">) {
  return async function readTokenBalance(
    request: Request,
  ): Promise<BalanceAnswer | { status: "not_a_token" }> {
    if (!carriesToken(request.headers)) return { status: "not_a_token" }
    const { principal } = await guard.account({ request })
    const outcome = await readOrOpen(principal.accountId, steps)
    return outcome.status === "found" ? outcome : { status: "unavailable" }
  }
}

/** An access token or, in a browser, the session's cookie; a key goes before a cookie. */
function carriesToken(headers: Headers): boolean {
  const authorization = headers.get("authorization")
  if (authorization !== null) return /^bearer +fa_/i.test(authorization)
  return !headers.has("x-api-key") && headers.has("cookie")
}
