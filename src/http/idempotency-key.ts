import { Problem } from "../errors.ts"
import { IDEMPOTENCY_KEY_CHARS_MAX } from "../limits.ts"
import { refuseField } from "./violations.ts"

export const IDEMPOTENCY_HEADER = "idempotency-key"
/** Visible ASCII characters, as a header can carry them. */
export const IDEMPOTENCY_KEY_PATTERN = `^[\\x21-\\x7e]{1,${IDEMPOTENCY_KEY_CHARS_MAX}}$`
const WELL_FORMED = new RegExp(IDEMPOTENCY_KEY_PATTERN)

export function isIdempotencyKey(text: string): boolean {
  return WELL_FORMED.test(text)
}

/** The Idempotency-Key of a request; null where it has none. Throws 422 where it is none. */
export function readIdempotencyKey(headers: Headers): string | null {
  const key = headers.get(IDEMPOTENCY_HEADER)
  if (key === null || isIdempotencyKey(key)) return key
  throw new Problem(
    "validation_failed",
    refuseField(
      "/Idempotency-Key",
      `Must be 1 to ${IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters.`,
    ),
  )
}

/** What the API document says of the header. */
export function idempotencyParameter(description: string) {
  const schema = { type: "string", pattern: IDEMPOTENCY_KEY_PATTERN } as const
  return { name: "Idempotency-Key", in: "header", required: false, description, schema } as const
}
