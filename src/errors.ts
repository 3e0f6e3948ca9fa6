/** Every error that a client can see, its status, and whether the same call may succeed later. */
export const ERRORS = {
  malformed_json: { status: 400, title: "The body is not JSON.", retryable: false },
  missing_credential: { status: 401, title: "The call carries no credential.", retryable: false },
  invalid_credential: { status: 401, title: "The credential is not valid.", retryable: false },
  key_disabled: { status: 401, title: "The API key is disabled.", retryable: false },
  key_expired: { status: 401, title: "The API key has expired.", retryable: false },
  wrong_password: { status: 401, title: "The e-mail or the password is wrong.", retryable: false },
  insufficient_balance: {
    status: 402,
    title: "The balance does not cover this call.",
    retryable: false,
  },
  key_budget_reached: {
    status: 402,
    title: "The API key has spent its budget.",
    retryable: false,
  },
  not_allowed: { status: 403, title: "This credential may not do that.", retryable: false },
  account_frozen: { status: 403, title: "The account is frozen.", retryable: false },
  ip_not_allowed: {
    status: 403,
    title: "The API key may not be used from this address.",
    retryable: false,
  },
  interface_not_allowed: {
    status: 403,
    title: "The API key may not call this interface.",
    retryable: false,
  },
  not_found: { status: 404, title: "There is nothing here.", retryable: false },
  unknown_interface: { status: 404, title: "There is no such interface.", retryable: false },
  code_not_found: { status: 404, title: "There is no such redemption code.", retryable: false },
  request_in_progress: {
    status: 409,
    title: "A call with this Idempotency-Key is still running.",
    retryable: true,
  },
  already_charged: {
    status: 409,
    title: "A call with this Idempotency-Key was paid already.",
    retryable: false,
  },
  already_redeemed: {
    status: 409,
    title: "This account has redeemed the code already.",
    retryable: false,
  },
  code_used_up: { status: 409, title: "The redemption code is used up.", retryable: false },
  code_not_active: {
    status: 409,
    title: "The redemption code is not active now.",
    retryable: false,
  },
  hold_already_resolved: {
    status: 409,
    title: "The hold was captured or voided already.",
    retryable: false,
  },
  hold_expired: { status: 409, title: "The hold has expired.", retryable: false },
  hold_lost: { status: 409, title: "The hold was lost with the store.", retryable: false },
  already_reversed: { status: 409, title: "The charge was reversed already.", retryable: false },
  email_taken: { status: 409, title: "An account with this e-mail exists.", retryable: false },
  body_too_large: { status: 413, title: "The body is too large.", retryable: false },
  unsupported_media_type: {
    status: 415,
    title: "The body must be application/json.",
    retryable: false,
  },
  validation_failed: {
    status: 422,
    title: "The request does not fit the schema.",
    retryable: false,
  },
  idempotency_key_reused: {
    status: 422,
    title: "This Idempotency-Key was used for another request.",
    retryable: false,
  },
  capture_exceeds_hold: {
    status: 422,
    title: "The capture is larger than the hold.",
    retryable: false,
  },
  unknown_invite_code: { status: 422, title: "There is no such invite code.", retryable: false },
  rate_limited: { status: 429, title: "Too many attempts.", retryable: true },
  internal_error: { status: 500, title: "Something broke on our side.", retryable: false },
  upstream_failed: {
    status: 502,
    title: "The upstream could not be reached; nothing was charged.",
    retryable: true,
  },
  billing_unavailable: {
    status: 503,
    title: "Billing cannot decide now; nothing was charged.",
    retryable: true,
  },
  upstream_timeout: {
    status: 504,
    title: "The upstream did not answer in time; nothing was charged.",
    retryable: true,
  },
} as const satisfies Record<string, { status: number; title: string; retryable: boolean }>

export type ErrorCode = keyof typeof ERRORS

/** What an answer says beside `type title status code`, where its row in the contract names it. */
export type ProblemFields = {
  detail?: string
  /** Headers beside the content type, such as `Retry-After`. */
  headers?: Record<string, string>
  [field: string]: unknown
}

/** A refusal on its way to the client. Thrown by route code only; services return outcomes. */
export class Problem extends Error {
  readonly code: ErrorCode
  readonly fields: ProblemFields

  constructor(code: ErrorCode, fields: ProblemFields = {}) {
    super(code)
    this.code = code
    this.fields = fields
  }
}
