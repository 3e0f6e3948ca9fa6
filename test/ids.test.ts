import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import {
  chargeId,
  hashCredential,
  isAccountId,
  newAccountId,
  newCredential,
  newId,
  parseAccountId,
  parseChargeId,
  partitionOf,
  randomChars,
  readCredential,
} from "../src/ids.ts"

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

describe("ids", () => {
  test("are random: ten thousand are all different, and every character occurs", () => {
    const ids = Array.from({ length: 10_000 }, newAccountId)
    expect(new Set(ids).size).toBe(ids.length)
    expect(new Set(ids.map((id) => id.slice(5)).join(""))).toEqual(new Set(ALPHABET))
    expect(ids.every(isAccountId)).toBe(true)
  })

  test("have as many characters as asked for, beyond the pool too", () => {
    for (const count of [0, 1, 16, 5_000, 9_999]) {
      expect(randomChars(count)).toMatch(new RegExp(`^[${ALPHABET}]{${count}}$`))
    }
  })

  test("begin with what they are of", () => {
    for (const prefix of ["key", "rdm", "code", "ses", "aud", "req"] as const) {
      expect(newId(prefix)).toMatch(new RegExp(`^${prefix}_[${ALPHABET}]{16}$`))
    }
  })

  test("of accounts are told from everything else", () => {
    const id = newAccountId()
    expect(parseAccountId(id)).toBe(id)
    const wrong = [
      id.toUpperCase(),
      `${id}0`,
      id.slice(0, -1),
      ` ${id}`,
      `${id}\n`,
      `key_${id.slice(5)}`,
      `${id.slice(0, -1)}i`,
      "",
    ]
    for (const text of wrong) {
      expect(isAccountId(text)).toBe(false)
      expect(() => parseAccountId(text)).toThrow(TypeError)
    }
  })
})

describe("a credential", () => {
  test("tells its account and its kind", () => {
    for (const prefix of ["fk", "fa"] as const) {
      const accountId = newAccountId()
      expect(readCredential(newCredential(prefix, accountId))).toEqual({ prefix, accountId })
    }
  })

  test("with any one character changed is none", () => {
    const credential = newCredential("fk", newAccountId())
    for (let i = 3; i < credential.length; i++) {
      for (const char of ALPHABET) {
        if (char === credential[i]) continue
        expect(readCredential(credential.slice(0, i) + char + credential.slice(i + 1))).toBeNull()
      }
    }
  })

  test("with two neighbours swapped is none", () => {
    const credential = newCredential("fk", newAccountId())
    for (let i = 3; i + 1 < credential.length; i++) {
      const [left = "", right = ""] = [credential[i], credential[i + 1]]
      const swapped = credential.slice(0, i) + right + left + credential.slice(i + 2)
      if (left !== right) expect(readCredential(swapped)).toBeNull()
    }
  })

  test("is never read from anything else", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 80 }),
        (text) => readCredential(text) === null,
      ),
    )
    for (const text of ["", "fk_", `fk_${"0".repeat(48)}`, "Bearer fk_", "null"])
      expect(readCredential(text)).toBeNull()
  })

  test("is kept as its SHA-256", () => {
    expect(hashCredential("fk_x")).toBe(new Bun.CryptoHasher("sha256").update("fk_x").digest("hex"))
  })
})

describe("the partition of an account", () => {
  test("is fixed by its id and the number of partitions alone", () => {
    const known = [parseAccountId("acct_0000000000000000"), parseAccountId("acct_zzzzzzzzzzzzzzzz")]
    // Written down: accounts that exist would be looked for elsewhere if these ever changed.
    expect(
      known.map((id) => [1, 2, 3, 16].map((partitions) => partitionOf(id, partitions))),
    ).toEqual(PARTITIONS)
  })

  test("is one of them, and each gets its share", () => {
    const counts = new Map<number, number>()
    for (let i = 0; i < 8_000; i++) {
      const partition = partitionOf(newAccountId(), 8)
      counts.set(partition, (counts.get(partition) ?? 0) + 1)
    }
    expect(new Set(counts.keys())).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7]))
    for (const count of counts.values()) expect(Math.abs(count - 1_000)).toBeLessThan(200)
  })
})

test("a charge's id tells account, month in UTC and number", () => {
  const accountId = parseAccountId("acct_0123456789abcdef")
  const at = new Date("2026-12-31T23:59:59.999Z")
  expect(chargeId({ accountId, seq: 1, at })).toBe("chg_0123456789abcdef_202612_1")
  expect(chargeId({ accountId, seq: 999_999_999_999_999, at: new Date(at.getTime() + 1) })).toBe(
    "chg_0123456789abcdef_202701_999999999999999",
  )
})

test("a charge's id is read again: its account, its number, and the month that it is in", () => {
  const accountId = parseAccountId("acct_0123456789abcdef")
  for (const at of ["2026-01-01T00:00:00.000Z", "2026-12-31T23:59:59.999Z"]) {
    for (const seq of [1, 7, 999_999_999_999_999]) {
      const charge = parseChargeId(chargeId({ accountId, seq, at: new Date(at) }))
      expect(charge).toMatchObject({ accountId, seq })
      expect(charge?.from.toISOString().slice(0, 10)).toBe(`${at.slice(0, 7)}-01`)
      expect(charge?.to).toEqual(new Date(at.startsWith("2026-01") ? "2026-02-01" : "2027-01-01"))
    }
  }
})

test("a charge's id is read from nothing else", () => {
  const wrong = ["", "chg_", "chg_0123456789abcdef_202613_1", "chg_0123456789abcdef_202600_1"]
  const more = ["_202601_0", "_202601_01", "_202601_-1", "_202601_1 ", "_202601_1e3", "_26_1", "_1"]
  const long = [`_202601_${"9".repeat(16)}`, "x_202601_1"]
  for (const text of [...wrong, ...[...more, ...long].map((end) => `chg_0123456789abcdef${end}`)]) {
    expect([text, parseChargeId(text)]).toEqual([text, null])
  }
})

test("a service key has the characters of its own id", () => {
  const id = newId("svc")
  const key = newCredential("fs", id)
  expect(key).toMatch(/^fs_[0-9a-z]{48}$/)
  expect(key.slice(3, 19)).toBe(id.slice(4))
  expect(readCredential(key)?.prefix).toBe("fs")
})

const PARTITIONS = [
  [0, 1, 0, 13],
  [0, 1, 1, 3],
]
