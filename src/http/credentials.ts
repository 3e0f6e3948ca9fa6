import { Type } from "@sinclair/typebox"
import { EMAIL_CHARS_MAX, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN } from "../limits.ts"
import { CLOSED, Time, text } from "./fields.ts"

/** The fields that registration and login have in common. */

/** Spaces around it and capitals are forgiven: see `normalizeEmail`. */
export const GivenEmail = Type.String({
  minLength: 3,
  maxLength: EMAIL_CHARS_MAX,
  pattern:
    "^\\s*[^@\\s\\u0000-\\u001F\\u007F-\\u009F]+@[^@\\s\\u0000-\\u001F\\u007F-\\u009F]+\\s*$",
  description: "an e-mail address",
  examples: ["mei@example.com"],
})

export const GivenPassword = Type.String({
  minLength: PASSWORD_CHARS_MIN,
  maxLength: PASSWORD_CHARS_MAX,
  description: `a password of ${PASSWORD_CHARS_MIN} to ${PASSWORD_CHARS_MAX} characters`,
  examples: ["correct horse battery"],
})

/** What a browser or an app says of itself; kept by nothing yet. */
export const GivenDeviceId = text({ max: 128, example: "device-1" })

/** What a registration and a login answer. The token is shown here only. */
export const SessionCreated = Type.Object(
  {
    accountId: Type.String({ description: "acct_ and 16 characters" }),
    accessToken: Type.String({ description: "fa_ and 48 characters, shown once" }),
    expiresAt: Time,
  },
  CLOSED,
)

/** One account has one e-mail, however it is typed. */
export function normalizeEmail(email: string): string {
  return email.trim().toLowerCase()
}
