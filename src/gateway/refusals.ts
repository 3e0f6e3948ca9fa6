import type { ErrorCode, ProblemFields } from "../errors.ts"
import { refuseField } from "../http/violations.ts"
import { chargeId } from "../ids.ts"
import type {
  CaptureOutcome,
  Charged,
  ChargeOutcome,
  Held,
  HoldOutcome,
  Rate,
  Voided,
  VoidOutcome,
} from "../ledger/items.ts"
import { IDEMPOTENCY_KEY_CHARS_MAX } from "../limits.ts"
import { AMOUNT_FEN_MAX, formatCny } from "../money.ts"
import type { Payer } from "./authenticate.ts"
import type { PayerRefused, Stale } from "./decide.ts"

/** What is refused before the script is asked. */
export type CallRefused =
  | { status: "unknown_interface"; interface: string }
  | { status: "interface_not_allowed"; interface: string }
  | { status: "amount_too_large" }
  | { status: "bad_idempotency_key" }
  | { status: "operation_missing" }
  | { status: "operation_ambiguous" }
  | { status: "field_missing"; path: string }
  | { status: "field_unwanted"; path: string }

type LedgerOutcome = ChargeOutcome | HoldOutcome | CaptureOutcome | VoidOutcome
type LedgerRefused = Exclude<LedgerOutcome, Charged | Held | Voided | Stale>

/** Every reason for which a call is not made. */
export type Refusal = PayerRefused | CallRefused | LedgerRefused

/** Whose call it is, what it would have taken, and of which interface it is counted as unpaid. */
export type About = { payer: Payer | null; amountFen: number; interface?: string }

type Told = { code: ErrorCode; fields: ProblemFields }

/** The one place that knows which code each refusal has, and what it tells. */
export function describeRefusal(refusal: Refusal, about: About, publicUrl: string): Told {
  switch (refusal.status) {
    case "insufficient_balance":
      return { code: "insufficient_balance", fields: shortOf(refusal, about.amountFen, publicUrl) }
    case "key_budget_reached":
      return { code: refusal.status, fields: budgetOf(refusal.limitSource, about) }
    case "rate_limited":
      return { code: refusal.status, fields: tooOften(refusal.rate) }
    case "already_charged":
      return { code: refusal.status, fields: alreadyCharged(refusal, about) }
    case "capture_exceeds_hold":
      return { code: refusal.status, fields: tooMuchOf(refusal.holdFen) }
    case "account_closed":
      return isNamed(about.payer) ? NO_ACCOUNT : tell("invalid_credential", CREDENTIALS.invalid)
    case "unknown_interface":
    case "interface_not_allowed":
    case "amount_too_large":
    case "bad_idempotency_key":
    case "operation_missing":
    case "operation_ambiguous":
    case "field_missing":
    case "field_unwanted":
      return describeRequest(refusal)
    case "account_frozen":
    case "key_expired":
    case "idempotency_key_reused":
    case "request_in_progress":
    case "hold_not_found":
    case "hold_already_resolved":
    case "hold_expired":
    case "hold_lost":
      return describePlain(refusal.status)
    default:
      return describePayer(refusal)
  }
}

function shortOf(
  { balanceFen, heldFen }: { balanceFen: number; heldFen: number },
  requiredFen: number,
  publicUrl: string,
): ProblemFields {
  const available = formatCny(balanceFen - heldFen)
  return {
    // The exact sentence is PRODUCT's ("insufficient balance").
    detail: `Insufficient developer balance, current balance: ${available} CNY, please recharge and try again!`,
    balanceFen,
    balance: formatCny(balanceFen),
    availableFen: balanceFen - heldFen,
    available,
    requiredFen,
    required: formatCny(requiredFen),
    rechargeUrl: `${publicUrl}/console/recharge`,
  }
}

/** Until one more call may be made. */
export function secondsUntil({ resetMs }: Rate): number {
  return Math.max(1, Math.ceil(resetMs / 1_000))
}

/** Whether a service key has named the account, so that no credential of the caller is at fault. */
function isNamed(payer: Payer | null): boolean {
  return payer !== null && payer.authVersion === null
}

function tell(code: ErrorCode, detail: string): Told {
  return { code, fields: { detail } }
}

const LATER = { headers: { "Retry-After": "1" } }
const NO_ACCOUNT = tell("not_found", "There is no such account.")
const CREDENTIALS = {
  missing: "Send an API key, as Authorization: Bearer fk_… or X-Api-Key: fk_….",
  invalid: "This is not a valid API key: it may be mistyped, deleted, or of another kind.",
  disabled: "This API key is disabled. Enable it, or call with another.",
}

/** Of a credential, no answer says more than its holder must know to mend it. */
function describePayer(refusal: Exclude<PayerRefused, CallRefused>): Told {
  switch (refusal.status) {
    case "missing_credential":
      return tell(refusal.status, CREDENTIALS.missing)
    case "invalid_credential":
      return tell(refusal.status, CREDENTIALS.invalid)
    case "key_disabled":
      return tell(refusal.status, CREDENTIALS.disabled)
    case "ip_not_allowed":
      return tell(
        refusal.status,
        `This API key may not be used from ${refusal.address}: its limits.allowedCidrs do not hold it.`,
      )
    case "service_not_allowed":
      return tell(
        "not_allowed",
        "A service key makes no calls of its own. Send the API key of the developer who calls.",
      )
    case "account_not_found":
      return NO_ACCOUNT
    case "unavailable":
      return { code: "billing_unavailable", fields: LATER }
  }
}

function describeRequest(refusal: CallRefused): Told {
  switch (refusal.status) {
    case "unknown_interface":
      return tell(
        refusal.status,
        `There is no interface "${refusal.interface}". GET /v1/interfaces lists those there are.`,
      )
    case "interface_not_allowed":
      return tell(
        refusal.status,
        `This API key may not call "${refusal.interface}": it is not among its limits.interfaces.`,
      )
    case "amount_too_large": {
      const message = `Price times quantity must be ${AMOUNT_FEN_MAX} fen or less.`
      const fields = { detail: message, errors: [{ path: "/quantity", message }] }
      return { code: "validation_failed", fields }
    }
    case "bad_idempotency_key":
      return { code: "validation_failed", fields: BAD_IDEMPOTENCY_KEY }
    case "operation_missing":
      return { code: "validation_failed", fields: OPERATION_MISSING }
    case "operation_ambiguous":
      return { code: "validation_failed", fields: OPERATION_AMBIGUOUS }
    case "field_missing":
      return {
        code: "validation_failed",
        fields: refuseField(refusal.path, MISSING[refusal.path] ?? "This field is required."),
      }
    case "field_unwanted":
      return {
        code: "validation_failed",
        fields: refuseField(refusal.path, UNWANTED[refusal.path] ?? "There is no such field here."),
      }
  }
}

const BAD_IDEMPOTENCY_KEY = refuseField(
  "/Idempotency-Key",
  `Must be 1 to ${IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters.`,
)
const OPERATION_MISSING = refuseField(
  "/X-Original-URI",
  "Send the call's own method and path, as X-Original-Method and X-Original-URI or as X-Forwarded-Method and X-Forwarded-Uri.",
)
const OPERATION_AMBIGUOUS = refuseField(
  "/X-Forwarded-Uri",
  "X-Original-* and X-Forwarded-* tell two calls apart: let the proxy remove what its callers send.",
)
const MISSING: Record<string, string> = {
  "/accountId": "With a service key, name who pays: either accountId or apiKey.",
  "/interface": "Name the interface that is called, or the amount that is taken.",
}
const UNWANTED: Record<string, string> = {
  "/apiKey": "Only a service key names another key.",
  "/accountId": "Only a service key names an account, and then no apiKey beside it.",
  "/amountFen": "Give an interface or an amount; for a charge only a service key gives an amount.",
}

type Plain =
  | "account_frozen"
  | "key_expired"
  | "idempotency_key_reused"
  | "request_in_progress"
  | "hold_not_found"
  | "hold_already_resolved"
  | "hold_expired"
  | "hold_lost"

function describePlain(status: Plain): Told {
  switch (status) {
    case "account_frozen":
      return { code: status, fields: {} }
    case "key_expired":
      return tell(status, "This API key has expired. Make another, or give it a later expiry.")
    case "idempotency_key_reused":
      return tell(status, "The same Idempotency-Key came with another request. Send a new key.")
    case "request_in_progress":
      return { code: status, fields: LATER }
    case "hold_not_found":
      return tell("not_found", "This account has no such hold.")
    case "hold_already_resolved":
    case "hold_expired":
    case "hold_lost":
      return tell(status, HOLDS[status])
  }
}

const HOLDS = {
  hold_already_resolved: "It was captured or voided before, and a hold resolves once.",
  hold_expired: "Its time was over, and what it held is available again. Nothing was taken.",
  hold_lost: "It did not outlive a loss of the store, and what it held is available again.",
}

function budgetOf(
  limitSource: "daily" | "monthly" | "total",
  { payer, amountFen }: About,
): ProblemFields {
  const budgetFen = payer?.limits?.[`${limitSource}Fen`] ?? 0
  const period = { daily: "for a day", monthly: "for a month", total: "in all" }[limitSource]
  return {
    detail: `This API key may spend ${formatCny(budgetFen)} CNY ${period} (Asia/Shanghai), and this call would exceed it.`,
    limitSource,
    budgetFen,
    budget: formatCny(budgetFen),
    requiredFen: amountFen,
    required: formatCny(amountFen),
  }
}

function tooOften(rate: Rate | null): ProblemFields {
  const seconds = rate === null ? 1 : secondsUntil(rate)
  const many = rate === null ? "its calls" : `${rate.limit} calls`
  return {
    detail: `This API key may make ${many} a second. Try again in ${seconds} s.`,
    headers: { "Retry-After": String(seconds) },
  }
}

function alreadyCharged(
  { seq, atMs, amountFen }: { seq: number; atMs: number; amountFen: number },
  { payer }: About,
): ProblemFields {
  if (payer === null) throw new Error("broken invariant: a charge that nobody paid")
  const id = chargeId({ accountId: payer.accountId, seq, at: new Date(atMs) })
  return {
    detail: `The call was paid before, as ${id}. It is neither charged nor made again.`,
    headers: { "X-Charge-Id": id },
    chargeId: id,
    amountFen,
    amount: formatCny(amountFen),
  }
}

function tooMuchOf(holdFen: number): ProblemFields {
  return {
    detail: `The hold is of ${formatCny(holdFen)} CNY: no more can be captured.`,
    holdFen,
    hold: formatCny(holdFen),
  }
}
