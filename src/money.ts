/**
 * Money is an integer number of fen (0.01 CNY), everywhere. This file is the one door through which
 * a number becomes an amount, and the one place that shows an amount as CNY.
 */

declare const unit: unique symbol

/** A non-negative integer number of fen; 1 fen is 0.01 CNY. Never a float, never a bare number. */
export type Fen = number & { readonly [unit]: "fen" }

/**
 * The largest amount and balance: 9x10^13 fen. It is below 2^53, so a double holds every sum of a
 * hundred of them exactly (DESIGN section 4, "Numbers").
 */
export const AMOUNT_FEN_MAX = 90_000_000_000_000

/** Takes an integer from a checked source as fen. Throws on anything that is not an amount. */
export function fen(value: number): Fen {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`not an amount in fen: ${value}`)
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the one door for amounts
  return value as Fen
}

/** Parses what Postgres answers for a `bigint` column: digits only, no sign, no exponent. */
export function parseFen(text: string): Fen {
  if (!/^\d{1,16}$/.test(text)) throw new RangeError(`not an amount in fen: ${text}`)
  return fen(Number(text))
}

/** Shows fen as CNY with two decimals: 999 is "9.99". What is divided is a multiple of 100: no float. */
export function formatCny(amount: number): string {
  if (!Number.isSafeInteger(amount)) throw new RangeError(`not an amount in fen: ${amount}`)
  const size = Math.abs(amount)
  const rest = size % 100
  return `${amount < 0 ? "-" : ""}${(size - rest) / 100}.${rest < 10 ? "0" : ""}${rest}`
}

/** How many calls `available` fen pay for, at `price` fen a call. */
export function availableCalls({ available, price }: { available: number; price: number }): number {
  return (available - (available % price)) / price
}
