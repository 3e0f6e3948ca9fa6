import type { LoadedSession } from "../../db/queries/load-session.ts"
import { Problem } from "../errors.ts"
import {
  type AccountId,
  hashCredential,
  isSameSecret,
  parseAccountId,
  readCredential,
} from "../ids.ts"
import { readSessionCookie } from "./session-cookie.ts"

/** Who makes a request of the account plane. */
export type Principal = {
  accountId: AccountId
  email: string
  isAdmin: boolean
  sessionId: string
}

type Incoming = { request: Request }

/** Hooks for `resolve`: each gives the handler its `principal`, or refuses with 401 or 403. */
export type Guard = {
  account(incoming: Incoming): Promise<{ principal: Principal }>
  admin(incoming: Incoming): Promise<{ principal: Principal }>
}

type GuardDeps = {
  publicUrl: string
  /** The session with this token hash, if there is one that has not expired. */
  loadSession(tokenHash: string): Promise<LoadedSession | null>
}

export function createGuard({ publicUrl, loadSession }: GuardDeps): Guard {
  const origin = new URL(publicUrl).origin

  async function identify(request: Request): Promise<Principal> {
    const token = readBearer(request.headers) ?? readCookie(request, origin)
    if (token === null) {
      throw new Problem("missing_credential", {
        detail: "Log in at POST /v1/sessions and send Authorization: Bearer with the access token.",
      })
    }
    requireAccessToken(token)
    const tokenHash = hashCredential(token)
    const session = await loadSession(tokenHash)
    if (session === null || !isSameSecret(session.tokenHash, tokenHash)) {
      throw new Problem("invalid_credential", {
        detail: "The access token has expired or was ended. Log in again at POST /v1/sessions.",
      })
    }
    const { sessionId, email, role } = session
    const accountId = parseAccountId(session.accountId)
    return { accountId, email, sessionId, isAdmin: role === "admin" }
  }

  return {
    account: async ({ request }) => ({ principal: await identify(request) }),
    admin: async ({ request }) => {
      const principal = await identify(request)
      if (principal.isAdmin) return { principal }
      throw new Problem("not_allowed", { detail: "Only an administrator may do that." })
    },
  }
}

function readBearer(headers: Headers): string | null {
  const authorization = headers.get("authorization")
  if (authorization === null) return null
  return /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? ""
}

const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"])

/** A browser sends the cookie by itself, so that whatever changes must come from our pages. */
function readCookie(request: Request, origin: string): string | null {
  const token = readSessionCookie(request.headers)
  if (token === null || SAFE_METHODS.has(request.method) || isSameOrigin(request, origin)) {
    return token
  }
  throw new Problem("not_allowed", {
    detail: "A request that is authenticated by the session cookie must come from this site.",
  })
}

function isSameOrigin({ headers }: Request, origin: string): boolean {
  if (headers.get("sec-fetch-site") === "same-origin") return true
  const given = headers.get("origin")
  if (given === null) return false
  if (given === origin) return true
  return URL.canParse(given) && new URL(given).host === headers.get("host")
}

/** A mistyped token, or an API key in its place, is refused without a look-up. */
function requireAccessToken(token: string): void {
  const prefix = readCredential(token)?.prefix
  if (prefix === "fa") return
  throw new Problem("invalid_credential", {
    detail:
      prefix === undefined
        ? "This is not an access token: they begin with fa_. Check that it was copied whole."
        : `An access token (fa_…) belongs here; this is a key that begins with ${prefix}_.`,
  })
}
