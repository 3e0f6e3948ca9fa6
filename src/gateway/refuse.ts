import { ERRORS } from "../errors.ts"
import { type Outgoing, problemText, writeProblem } from "../http/problem.ts"
import { type HeaderMap, requestIdOf } from "../http/request-id.ts"
import type { Rate } from "../ledger/items.ts"
import { PROBLEM_HEADER_CHARS_MAX } from "../limits.ts"
import type { Payer } from "./authenticate.ts"

export type { Refusal } from "./refusals.ts"

import { type About, describeRefusal, type Refusal, secondsUntil } from "./refusals.ts"
import type { Unpaid } from "./unpaid.ts"

const PASSED_ON = new Set<number>([401, 403, 503])

/** Turns refusals into answers, and counts them: they cost nothing, and are no change records. */
export function createRefuser({
  publicUrl,
  unpaid,
}: {
  publicUrl: string
  unpaid: Pick<Unpaid, "refused" | "failed">
}) {
  return { refuse, refuseOne, deny }

  /** The refusal is the answer: sets its status and headers, and gives its body. */
  function refuse(refusal: Refusal, about: About, set: Outgoing): string {
    if (about.payer !== null) tellRate(set.headers, about.payer, rateOf(refusal))
    count(refusal, about)
    const { code, fields } = describeRefusal(refusal, about, publicUrl)
    return writeProblem(code, fields, set)
  }

  /** The refusal is one of several results. */
  function refuseOne(refusal: Refusal, about: About, requestId: string): string {
    count(refusal, about)
    const { code, fields } = describeRefusal(refusal, about, publicUrl)
    return problemText(code, fields, requestId)
  }

  /**
   * The refusal for a proxy that understands 401, 403 and 503 alone (nginx's auth_request): all
   * others become 403. Code and problem stand in headers, because such a proxy drops the body.
   */
  function deny(refusal: Refusal, about: About, set: Outgoing): string {
    const text = refuse(refusal, about, set)
    const { code, fields } = describeRefusal(refusal, about, publicUrl)
    set.headers["x-billing-code"] = code
    if (text.length <= PROBLEM_HEADER_CHARS_MAX) set.headers["x-billing-problem"] = inAscii(text)
    if (PASSED_ON.has(ERRORS[code].status)) return text
    set.status = 403
    return problemText(code, { ...fields, status: 403 }, requestIdOf(set.headers))
  }

  /** A call that is no call, because its request is malformed, is not counted. */
  function count({ status }: Refusal, { payer, interface: name }: About): void {
    if (payer === null || name === undefined) return
    switch (status) {
      case "field_missing":
      case "field_unwanted":
      case "bad_idempotency_key":
      case "operation_missing":
      case "operation_ambiguous":
        return
      case "unavailable":
        return unpaid.failed({ payer, interface: name })
      case "unknown_interface":
        // Its name is whatever the caller has sent.
        return unpaid.refused({ payer, interface: "unknown" })
      default:
        return unpaid.refused({ payer, interface: name })
    }
  }
}

/** The same JSON, of characters that a header may have. */
function inAscii(json: string): string {
  return json.replaceAll(
    /[^ -~]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
}

export type Refuser = ReturnType<typeof createRefuser>

/**
 * A key with a rate limit is told of it with every answer (draft-ietf-httpapi-ratelimit-headers):
 * its policy always, and what is left wherever the script has said so.
 */
export function tellRate(headers: HeaderMap, { limits }: Payer, rate: Rate | null): void {
  if (limits === null || limits.ratePerSecond === null) return
  headers["ratelimit-policy"] = `"key";q=${limits.ratePerSecond};w=1`
  if (rate !== null) headers.ratelimit = `"key";r=${rate.remaining};t=${secondsUntil(rate)}`
}

function rateOf(refusal: Refusal): Rate | null {
  return "rate" in refusal ? refusal.rate : null
}
