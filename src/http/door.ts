import { type ErrorCode, Problem } from "../errors.ts"
import type { Guard } from "./authenticate.ts"
import { isAboutContent } from "./failure.ts"
import { KEY_ROUTES, OPEN_ROUTES, SERVICE_ROUTES } from "./open-routes.ts"

/** Answers with a code what is wrong with a request's API key, or null where it is good. */
export type VerifyKey = (headers: Headers) => Promise<ErrorCode | null>

/** The service key of a request; throws a `Problem` where it has none that is valid. */
export type RequireService = (request: Request) => Promise<{ serviceKeyId: string }>

type DoorDeps = { guard: Guard; verifyKey: VerifyKey; requireService: RequireService }

/**
 * Asks a request for its credential, as its route would have. The framework checks bodies before
 * it lets a route authenticate; so whoever sends a wrong one learns first whether they may send any.
 */
export function createDoor({ guard, verifyKey, requireService }: DoorDeps) {
  return async function requireCredential(request: Request, route: string): Promise<void> {
    const name = `${request.method} ${route}`
    if (OPEN_ROUTES.includes(name)) return
    if (KEY_ROUTES.includes(name) || KEY_ROUTES.includes(`ALL ${route}`)) {
      const code = await verifyKey(request.headers)
      if (code !== null) throw new Problem(code)
    } else if (SERVICE_ROUTES.includes(name)) {
      await requireService(request)
    } else if (route.startsWith("/v1/admin/")) {
      await guard.admin({ request })
    } else {
      await guard.account({ request })
    }
  }
}

export type RequireCredential = ReturnType<typeof createDoor>

/**
 * Why a request is refused: where its content does not fit, the check of its credential goes first,
 * and what that throws is the reason.
 */
export async function closedFirst(error: unknown, check: () => Promise<void>): Promise<unknown> {
  if (!isAboutContent(error)) return error
  try {
    await check()
  } catch (earlier) {
    return earlier
  }
  return error
}
