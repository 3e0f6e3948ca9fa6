import { Type } from "@sinclair/typebox"
import { Problem } from "../errors.ts"
import type { ClientAddress } from "../http/address.ts"
import { rateLimited } from "../http/attempts.ts"
import type { Guard } from "../http/authenticate.ts"
import { jsonBody } from "../http/body.ts"
import { tooBusy } from "../http/busy.ts"
import {
  GivenDeviceId,
  GivenEmail,
  GivenPassword,
  normalizeEmail,
  SessionCreated,
} from "../http/credentials.ts"
import { CLOSED, Email, Time, text } from "../http/fields.ts"
import { createPlugin, describe } from "../http/route.ts"
import { type AccountsDeps, createAccounts, type RegisterOutcome } from "./service.ts"

const Registration = Type.Object(
  {
    email: GivenEmail,
    password: GivenPassword,
    inviteCode: Type.Optional(text({ max: 64 })),
    deviceId: Type.Optional(GivenDeviceId),
  },
  { ...CLOSED, examples: [{ email: "mei@example.com", password: "correct horse battery" }] },
)

const Account = Type.Object(
  {
    accountId: Type.String(),
    email: Email,
    emailVerified: Type.Boolean(),
    role: Type.String({ description: "developer or admin" }),
    status: Type.String({ description: "open, frozen or closed" }),
    createdAt: Time,
    inviteCode: Type.String(),
    totpEnabled: Type.Boolean(),
  },
  CLOSED,
)

const TAG = "Account"

export function accountRoutes({
  guard,
  clientAddress,
  ...deps
}: AccountsDeps & { guard: Guard; clientAddress: ClientAddress }) {
  const accounts = createAccounts(deps)

  const open = createPlugin().post(
    "/v1/accounts",
    async ({ body: { email, password, inviteCode = null }, request, server, status }) => {
      const registered = requireRegistered(
        await accounts.register({
          email: normalizeEmail(email),
          password,
          inviteCode,
          address: clientAddress(request, server),
        }),
      )
      const { accountId, accessToken, expiresAt } = registered
      return status(201, { accountId, accessToken, expiresAt: expiresAt.toISOString() })
    },
    {
      parse: jsonBody,
      body: Registration,
      response: { 201: SessionCreated },
      ...describe({
        tag: TAG,
        summary: "Open an account",
        errors: ["email_taken", "unknown_invite_code", "rate_limited", "billing_unavailable"],
      }),
    },
  )

  const closed = createPlugin()
    .resolve(guard.account)
    .get(
      "/v1/account",
      async ({ principal: { accountId } }) => {
        const account = await accounts.read(accountId)
        if (account === null) throw new Problem("invalid_credential")
        const { createdAt, ...rest } = account
        return {
          ...rest,
          accountId,
          createdAt: createdAt.toISOString(),
          emailVerified: false,
          totpEnabled: false,
        }
      },
      {
        response: { 200: Account },
        ...describe({ tag: TAG, summary: "The account of this token" }),
      },
    )

  return createPlugin().use(open).use(closed)
}

function requireRegistered(outcome: RegisterOutcome) {
  switch (outcome.status) {
    case "registered":
      return outcome
    case "email_taken":
      throw new Problem("email_taken", {
        detail: "An account with this e-mail exists. Log in at POST /v1/sessions.",
      })
    case "unknown_invite_code":
      throw new Problem("unknown_invite_code", {
        detail: "No account has this invite code. Correct it, or leave it out.",
      })
    case "busy":
      throw tooBusy()
    case "rate_limited":
      throw rateLimited(outcome)
  }
}
