import { Type } from "@sinclair/typebox"
import { Problem } from "../errors.ts"
import { jsonBody } from "../http/body.ts"
import { Change, viewChange } from "../http/change.ts"
import type { RequireService } from "../http/door.ts"
import { CLOSED } from "../http/fields.ts"
import { idempotencyParameter, readIdempotencyKey } from "../http/idempotency-key.ts"
import { createPlugin, describe } from "../http/route.ts"
import { refuseField } from "../http/violations.ts"
import { CHARGE_ID_PATTERN } from "../ids.ts"
import { createReversals, type ReversalDeps, type ReverseOutcome } from "./service.ts"

type RouteDeps = ReversalDeps & { requireService: RequireService }

const Params = Type.Object({
  chargeId: Type.String({ pattern: CHARGE_ID_PATTERN, description: "the chargeId of a charge" }),
})
const Empty = Type.Object({}, { ...CLOSED, description: "Nothing, or {}.", examples: [{}] })

/** No body is an empty one: there is nothing to say. */
async function optionalBody(context: { request: Request }, contentType: string): Promise<unknown> {
  return (await jsonBody(context, contentType)) ?? {}
}

const { detail } = describe({
  tag: "Calls",
  summary: "Give back what a charge or a capture took, in full, once",
  errors: [
    "missing_credential",
    "invalid_credential",
    "key_disabled",
    "not_found",
    "already_reversed",
    "billing_unavailable",
  ],
})
const KEYED = "The same key gets the change record again, with Idempotent-Replayed: true."

/** For a provider's backend: what an account was charged for, and did not get. */
export function reversalRoutes({ requireService, ...deps }: RouteDeps) {
  const reversals = createReversals(deps)
  return createPlugin()
    .resolve(async ({ request }) => ({ service: await requireService(request) }))
    .post(
      "/v1/charges/:chargeId/reversal",
      async ({ service: { serviceKeyId }, params: { chargeId }, request, set }) => {
        const idempotencyKey = readIdempotencyKey(request.headers)
        const outcome = await reversals.reverse({ chargeId, serviceKeyId, idempotencyKey })
        const { record, isReplay } = requireReversed(outcome)
        if (isReplay) set.headers["idempotent-replayed"] = "true"
        return viewChange(record)
      },
      {
        parse: optionalBody,
        params: Params,
        body: Empty,
        response: { 200: Change },
        detail: {
          ...detail,
          parameters: [idempotencyParameter(KEYED)],
          security: [{ serviceKey: [] }],
        },
      },
    )
}

function requireReversed(outcome: ReverseOutcome) {
  switch (outcome.status) {
    case "reversed":
      return outcome
    case "not_found":
      throw new Problem("not_found", { detail: "There is no such charge." })
    case "already_reversed":
      throw new Problem("already_reversed", {
        detail: "This charge was reversed already, and a charge is reversed once.",
      })
    case "invalid_credential":
    case "key_disabled":
      throw new Problem(outcome.status, {
        detail: "This service key was disabled or deleted. Use another one.",
      })
    case "balance_too_large":
      throw new Problem(
        "validation_failed",
        refuseField("", "With this amount the balance would be larger than a balance may be."),
      )
    case "not_flushed":
      throw unavailable("The charge is not in the record yet, and nothing was reversed. Try again.")
    case "recorded":
      throw unavailable(
        "The reversal is recorded and will be carried out. The same Idempotency-Key gets its change record; without one the answer is 409.",
      )
  }
}

function unavailable(detail: string): Problem {
  return new Problem("billing_unavailable", { detail, headers: { "Retry-After": "1" } })
}
