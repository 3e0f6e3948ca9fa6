import { Type } from "@sinclair/typebox"
import { AMOUNT_FEN_MAX, formatCny } from "../money.ts"

/** The pieces that request and answer schemas are made of. */

export const CLOSED = { additionalProperties: false } as const

/** An amount that somebody gives: 1 fen or more. */
export const GivenFen = Type.Integer({
  minimum: 1,
  maximum: AMOUNT_FEN_MAX,
  description: "an amount in fen (0.01 CNY)",
})
/** An amount or a balance in an answer. */
export const Fen = Type.Integer({ minimum: 0, maximum: AMOUNT_FEN_MAX, description: "fen" })
/** The same amount in CNY with two decimals. */
export const Cny = Type.String({ pattern: "^[0-9]+\\.[0-9]{2}$", description: "CNY" })
export const Time = Type.String({ format: "date-time", description: "ISO 8601, UTC" })
export const Email = Type.String({ description: "an e-mail address" })
/** Empty: a 204 has no body. */
export const Nothing = Type.Void({ description: "No content." })

type TextBounds = { min?: number; max: number; example?: string }

/** Text that ends up in Postgres, which refuses NUL: no control characters at all. */
export function text({ min = 1, max, example }: TextBounds) {
  return Type.String({
    minLength: min,
    maxLength: max,
    pattern: "^[^\\u0000-\\u001F\\u007F-\\u009F]*$",
    description: `text of ${min} to ${max} characters without control characters`,
    ...(example === undefined ? {} : { examples: [example] }),
  })
}

/** The path parameter of an id. What does not look like one is answered 404 without a look-up. */
export function idParams(prefix: string) {
  return Type.Object({ id: Type.String({ pattern: `^${prefix}_[0-9a-z]{16}$` }) })
}

type MoneyFields<Name extends string> = { [Key in `${Name}Fen`]: number } & {
  [Key in Name]: string
}

/** `{xFen, x}`: every amount of an answer stands beside itself in CNY. */
export function money<Name extends string>(name: Name, amountFen: number): MoneyFields<Name>
export function money(name: string, amountFen: number): object {
  return { [`${name}Fen`]: amountFen, [name]: formatCny(amountFen) }
}
