import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { AMOUNT_FEN_MAX, availableCalls, fen, formatCny, parseFen } from "../src/money.ts"

const amount = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })

describe("fen", () => {
  test("takes integers from nothing to the largest exact one", () => {
    for (const value of [0, 1, AMOUNT_FEN_MAX, Number.MAX_SAFE_INTEGER])
      expect<number>(fen(value)).toBe(value)
  })

  test("refuses whatever is not an amount", () => {
    for (const value of [-1, 0.1, 1e-9, Number.NaN, Infinity, -Infinity, 2 ** 53, 1e21]) {
      expect(() => fen(value)).toThrow(RangeError)
    }
  })

  test("keeps a hundred of the largest amount exact in one sum", () => {
    expect(Number.isSafeInteger(100 * AMOUNT_FEN_MAX)).toBe(true)
    expect(BigInt(100 * AMOUNT_FEN_MAX)).toBe(100n * BigInt(AMOUNT_FEN_MAX))
  })
})

describe("parseFen", () => {
  test("reads what Postgres writes, at every size", () => {
    fc.assert(fc.property(amount, (value) => parseFen(String(value)) === value))
    expect<number>(parseFen("0000000000000007")).toBe(7)
  })

  test("matches digits, and never guesses", () => {
    const texts = [
      "",
      " ",
      "1 ",
      " 1",
      "+1",
      "-1",
      "1.0",
      "1e3",
      "0x10",
      "nan",
      "NaN",
      "Infinity",
      "1_000",
      "١٢٣",
      "１",
      "9007199254740992",
      "99999999999999999",
      "1\n",
      "1,000",
    ]
    for (const text of texts) expect(() => parseFen(text)).toThrow(RangeError)
  })
})

describe("formatCny", () => {
  test("shows two decimals, always", () => {
    const shown = {
      0: "0.00",
      1: "0.01",
      10: "0.10",
      99: "0.99",
      100: "1.00",
      999: "9.99",
      123456: "1234.56",
    }
    for (const [value, text] of Object.entries(shown)) expect(formatCny(Number(value))).toBe(text)
    expect(formatCny(-5)).toBe("-0.05")
    expect(formatCny(-12_345)).toBe("-123.45")
    expect(formatCny(AMOUNT_FEN_MAX)).toBe("900000000000.00")
    expect(formatCny(Number.MAX_SAFE_INTEGER)).toBe("90071992547409.91")
  })

  test("loses no fen: the digits are the amount's", () => {
    fc.assert(
      fc.property(amount, (value) => {
        const text = formatCny(value)
        return /^\d+\.\d\d$/.test(text) && Number(text.replace(".", "")) === value
      }),
    )
  })

  test("refuses what is not a number of fen", () => {
    for (const value of [0.5, Number.NaN, 2 ** 53])
      expect(() => formatCny(value)).toThrow(RangeError)
  })
})

test("availableCalls says how many calls are paid for, and not one more", () => {
  const price = fc.integer({ min: 1, max: AMOUNT_FEN_MAX })
  fc.assert(
    fc.property(amount, price, (available, price) => {
      const calls = availableCalls({ available, price })
      const exact = BigInt(available) / BigInt(price)
      return BigInt(calls) === exact
    }),
  )
})
