import { Type } from "@sinclair/typebox"
import { Problem } from "../errors.ts"
import type { ClientAddress } from "../http/address.ts"
import { rateLimited } from "../http/attempts.ts"
import type { Guard } from "../http/authenticate.ts"
import { jsonBody } from "../http/body.ts"
import { tooBusy } from "../http/busy.ts"
import { GivenDeviceId, GivenEmail, normalizeEmail, SessionCreated } from "../http/credentials.ts"
import { CLOSED, idParams, Nothing, Time, text } from "../http/fields.ts"
import {
  PageQuery,
  pageOf,
  readLimit,
  readTimeCursor,
  toPage,
  writeTimeCursor,
} from "../http/paging.ts"
import { createPlugin, describe } from "../http/route.ts"
import { clearSessionCookie, writeSessionCookie } from "../http/session-cookie.ts"
import { PASSWORD_CHARS_MAX } from "../limits.ts"
import { createSessions, type SessionsDeps } from "./service.ts"

// Not the bounds of a new password: a wrong one is a wrong one, whatever its length.
const Login = Type.Object(
  {
    email: GivenEmail,
    password: Type.String({ maxLength: PASSWORD_CHARS_MAX }),
    totpCode: Type.Optional(text({ max: 16, example: "123456" })),
    deviceId: Type.Optional(GivenDeviceId),
  },
  { ...CLOSED, examples: [{ email: "mei@example.com", password: "correct horse battery" }] },
)

const Session = Type.Object(
  {
    id: Type.String(),
    createdAt: Time,
    expiresAt: Time,
    address: Type.String({ description: "where the login came from" }),
    current: Type.Boolean({ description: "whether it is the one that asks" }),
  },
  CLOSED,
)

const TAG = "Sessions"

type RouteDeps = SessionsDeps & { guard: Guard; clientAddress: ClientAddress; publicUrl: string }

export function sessionRoutes({ guard, clientAddress, publicUrl, ...deps }: RouteDeps) {
  const sessions = createSessions(deps)

  const open = createPlugin().post(
    "/v1/sessions",
    async ({ body: { email, password }, request, server, set, status }) => {
      const { accountId, accessToken, expiresAt } = requireLogin(
        await sessions.logIn({
          email: normalizeEmail(email),
          password,
          address: clientAddress(request, server),
        }),
      )
      set.headers["set-cookie"] = writeSessionCookie(publicUrl, { accessToken, expiresAt })
      return status(201, { accountId, accessToken, expiresAt: expiresAt.toISOString() })
    },
    {
      parse: jsonBody,
      body: Login,
      response: { 201: SessionCreated },
      ...describe({
        tag: TAG,
        summary: "Log in: an access token, and the console's cookie",
        errors: ["wrong_password", "rate_limited", "billing_unavailable"],
      }),
    },
  )

  const closed = createPlugin()
    .resolve(guard.account)
    .get(
      "/v1/sessions",
      async ({ principal: { accountId, sessionId }, query }) => {
        const limit = readLimit(query)
        const after = readTimeCursor(query)
        return toPage(await sessions.list({ accountId, after, limit: limit + 1 }), {
          limit,
          cursorOf: writeTimeCursor,
          toItem: ({ id, createdAt, expiresAt, address }) => ({
            id,
            createdAt: createdAt.toISOString(),
            expiresAt: expiresAt.toISOString(),
            address,
            current: id === sessionId,
          }),
        })
      },
      {
        query: PageQuery,
        response: { 200: pageOf(Session) },
        ...describe({ tag: TAG, summary: "Where this account is logged in" }),
      },
    )
    .delete(
      "/v1/sessions/current",
      async ({ principal: { accountId, sessionId }, set, status }) => {
        await sessions.end({ accountId, id: sessionId })
        set.headers["set-cookie"] = clearSessionCookie(publicUrl)
        return status(204, undefined)
      },
      { response: { 204: Nothing }, ...describe({ tag: TAG, summary: "Log out" }) },
    )
    .delete(
      "/v1/sessions/:id",
      async ({ principal: { accountId }, params: { id }, status }) => {
        const isEnded = await sessions.end({ accountId, id })
        if (!isEnded)
          throw new Problem("not_found", { detail: "This account has no such session." })
        return status(204, undefined)
      },
      {
        params: idParams("ses"),
        response: { 204: Nothing },
        ...describe({ tag: TAG, summary: "End one session", errors: ["not_found"] }),
      },
    )

  return createPlugin().use(open).use(closed)
}

type LoginTurn = Awaited<ReturnType<ReturnType<typeof createSessions>["logIn"]>>

function requireLogin(turn: LoginTurn) {
  if (turn.status === "busy") throw tooBusy()
  const outcome = turn.value
  switch (outcome.status) {
    case "logged_in":
      return outcome
    case "wrong_password":
      throw new Problem("wrong_password", {
        detail: "No account has this e-mail and password. Check both and try again.",
      })
    case "rate_limited":
      throw rateLimited(outcome)
  }
}
