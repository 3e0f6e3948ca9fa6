import { Type } from "@sinclair/typebox"
import { Problem } from "../errors.ts"
import { rateLimited } from "../http/attempts.ts"
import type { Guard } from "../http/authenticate.ts"
import { jsonBody } from "../http/body.ts"
import { CLOSED, Cny, Fen, GivenFen, money, text } from "../http/fields.ts"
import { createPlugin, describe } from "../http/route.ts"
import { refuseField } from "../http/violations.ts"
import { createRedemption, type RedeemOutcome, type RedemptionDeps } from "./service.ts"

const Code = Type.Object(
  { code: text({ max: 64, example: "XUNAN666" }) },
  { ...CLOSED, examples: [{ code: "XUNAN666" }] },
)

const Redeemed = Type.Object(
  {
    redemptionId: Type.String(),
    amountFen: GivenFen,
    amount: Cny,
    balanceFen: Fen,
    balance: Cny,
    applied: Type.Boolean({
      description:
        "false: the amount is safe and follows by itself, but is not in this balance yet.",
    }),
  },
  CLOSED,
)

export function redemptionRoutes({ guard, ...deps }: RedemptionDeps & { guard: Guard }) {
  const redemption = createRedemption(deps)
  return createPlugin()
    .resolve(guard.account)
    .post(
      "/v1/redemptions",
      async ({ principal: { accountId }, body: { code }, status }) => {
        const outcome = await redemption.redeem({ accountId, code: code.trim().toUpperCase() })
        const { redemptionId, amountFen, balanceFen, isApplied } = requireRedeemed(outcome)
        return status(201, {
          redemptionId,
          ...money("amount", amountFen),
          ...money("balance", balanceFen),
          applied: isApplied,
        })
      },
      {
        parse: jsonBody,
        body: Code,
        response: { 201: Redeemed },
        ...describe({
          tag: "Redemption",
          summary: "Redeem a code; the amount is spendable in the moment of the answer",
          errors: [
            "code_not_found",
            "already_redeemed",
            "code_used_up",
            "code_not_active",
            "rate_limited",
          ],
        }),
      },
    )
}

function requireRedeemed(outcome: RedeemOutcome) {
  switch (outcome.status) {
    case "redeemed":
      return outcome
    case "code_not_found":
      throw new Problem("code_not_found", {
        detail: "There is no such code. Check it letter by letter.",
      })
    case "already_redeemed":
      throw new Problem("already_redeemed", {
        detail: "This account has redeemed the code already; each account may do so once.",
      })
    case "code_used_up":
      throw new Problem("code_used_up", {
        detail: "The code has been redeemed as often as it could be.",
      })
    case "code_not_active":
      throw new Problem("code_not_active", {
        detail: "The code has not begun, has expired or was disabled.",
      })
    case "balance_too_large":
      throw new Problem(
        "validation_failed",
        refuseField("/code", "With this code the balance would be larger than a balance may be."),
      )
    case "contended":
      throw new Problem("billing_unavailable", {
        detail: "The code is being redeemed by many at once; nothing was redeemed. Try again.",
        headers: { "Retry-After": "1" },
      })
    case "rate_limited":
      throw rateLimited(outcome)
  }
}
