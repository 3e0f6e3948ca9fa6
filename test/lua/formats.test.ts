import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { newAccountId } from "../../src/ids.ts"
import { decodeRecords, INSTRUCTION_BYTES } from "../../src/ledger/records.ts"
import { bytesOf, readLuaFiles, readLuaReadme } from "../support/lua-files.ts"
import { COUNTER_BYTES, HOLD_BYTES, RESULT_BYTES } from "../support/packed.ts"

/** What is packed has one form, in all scripts, in TypeScript, and in the README. */

const files = readLuaFiles()

function constantOf(script: string, name: string): string {
  const value = files.find((file) => file.name === script)?.constants.get(name)
  if (value === undefined) throw new Error(`${script}.lua has no ${name}`)
  return value
}

/** The numbers that a TypeScript file of the ledger declares, by their names. */
function numbersOf(file: string): Map<string, number> {
  const source = readFileSync(new URL(`../../src/ledger/${file}`, import.meta.url), "utf8")
  const declared = [...source.matchAll(/^(?:export )?const ([A-Z_]+) = (\d+)$/gm)]
  return new Map(declared.map(([, name = "", value]) => [name, Number(value)]))
}

describe("the README", () => {
  const readme = readLuaReadme()
  const rows = new Map(
    [...readme.matchAll(/^\| (\w+) \| `([^`]+)`/gm)].map(([, what = "", format = ""]) => [
      what,
      format,
    ]),
  )
  const formats: [what: string, script: string, constant: string][] = [
    ["meta", "decide", "META"],
    ["account", "decide", "ACCOUNT"],
    ["item", "decide", "ITEM"],
    ["reply", "decide", "REPLY"],
    ["answer", "decide", "EXTRA"],
    ["record", "decide", "RECORD"],
    ["instruction", "apply", "INSTRUCTION"],
    ["counter", "decide", "COUNTER"],
    ["hold", "decide", "HOLD_STATE"],
    ["result", "decide", "RESULT"],
  ]
  for (const [what, script, constant] of formats) {
    test(`has the format of a ${what} as ${script}.lua packs it`, () => {
      expect(rows.get(what)).toBe(constantOf(script, constant).slice(1))
    })
  }

  test("has the format of a memo, whose number stands before its reply", () => {
    expect(rows.get("memo")).toBe("I8")
    for (const script of ["decide", "revoke"]) {
      const body = files.find(({ name }) => name === script)?.body
      expect(body).toContain('unpack_from("<I8", memo)')
    }
  })

  test("has every script, once", () => {
    const table = readme.slice(0, readme.indexOf("##"))
    const named = [...table.matchAll(/`(\w+)`/g)].map(([, name]) => name)
    expect(named).toHaveLength(files.length)
    expect(new Set(named)).toEqual(new Set(files.map(({ name }) => name)))
  })

  test("has each flag with its value, and what it announces as both scripts read it", () => {
    const flags = [...readme.matchAll(/^\| ([A-Z]+) \| (\d+) \| (?:`(\w+)`)?/gm)]
    const told = new Map(flags.map(([, name = "", value]) => [name, Number(value)]))
    const batch = numbersOf("batch.ts")
    for (const name of [
      "KEYED",
      "ONCE",
      "LIMITED",
      "SERVICE",
      "UNVERIFIED",
      "INTERNAL",
      "EXPIRY",
    ]) {
      expect([name, told.get(name)]).toEqual([name, Number(constantOf("decide", name))])
      expect([name, batch.get(name)]).toEqual([name, told.get(name)])
    }
    expect(told.size).toBe(7)
    const limits = flags.find(([, name]) => name === "LIMITED")?.[3]
    expect(limits).toBe(constantOf("decide", "LIMITS").slice(1))
  })

  test("has what items carry for a key, a service key, a hold and its resolution", () => {
    const extras = [...readme.matchAll(/^\| [^|]+ \| \d* ?\| `(\w+)` \|/gm)].map(
      ([, format]) => format,
    )
    const limits = constantOf("decide", "LIMITS").slice(1)
    expect(extras).toEqual(["I2c6", limits, "I4", "I2I8", "I2I2I2"])
    for (const script of ["decide", "revoke"]) {
      const body = files.find(({ name }) => name === script)?.body ?? ""
      for (const format of extras.filter((extra) => extra !== limits)) {
        expect(body).toContain(`unpack_from("<${format}", items, at)`)
      }
      expect(body).toContain(`unpack_from("c${bytesOf(limits)}", items, at)`)
    }
  })
})

describe("sizes", () => {
  test("in TypeScript are those of the formats", () => {
    const [batch, outcomes] = [numbersOf("batch.ts"), numbersOf("outcomes.ts")]
    const sizeOf = (script: string, name: string) => bytesOf(constantOf(script, name).slice(1))
    expect(batch.get("ITEM_HEADER_BYTES")).toBe(sizeOf("decide", "ITEM"))
    expect(outcomes.get("REPLY_ITEM_BYTES")).toBe(sizeOf("decide", "REPLY"))
    expect(outcomes.get("REPLY_EXTRA_BYTES")).toBe(sizeOf("decide", "EXTRA"))
    expect(numbersOf("records.ts").get("RECORD_HEADER_BYTES")).toBe(sizeOf("decide", "RECORD"))
    expect(numbersOf("instructions.ts").get("INSTRUCTION_HEADER_BYTES")).toBe(
      sizeOf("apply", "INSTRUCTION"),
    )
    expect([COUNTER_BYTES, HOLD_BYTES, RESULT_BYTES]).toEqual([
      ...[sizeOf("decide", "COUNTER"), sizeOf("decide", "HOLD_STATE"), sizeOf("decide", "RESULT")],
    ])
    const extras = ["I2c6", constantOf("decide", "LIMITS").slice(1), "I4", "I2I8"].map(bytesOf)
    expect(batch.get("EXTRAS_BYTES_MAX")).toBe(extras.reduce((sum, bytes) => sum + bytes, 0))
  })

  test("in Lua are those of the formats, and what is cut out stands where it is looked for", () => {
    const sizeOf = (name: string) => String(bytesOf(constantOf("decide", name).slice(1)))
    expect(constantOf("decide", "RESULT_BYTES")).toBe(sizeOf("RESULT"))
    expect(constantOf("revoke", "RESULT_BYTES")).toBe(sizeOf("RESULT"))
    expect(constantOf("decide", "HOLD_BYTES")).toBe(sizeOf("HOLD_STATE"))
    expect(constantOf("revoke", "ACCOUNT_BYTES")).toBe(sizeOf("ACCOUNT"))
    expect(constantOf("apply", "ACCOUNT_BYTES")).toBe(sizeOf("ACCOUNT"))
    expect(constantOf("decide", "ACCOUNT").startsWith(constantOf("decide", "MONEY"))).toBe(true)
    expect(constantOf("decide", "MONEY_BYTES")).toBe(sizeOf("MONEY"))
    expect(constantOf("decide", "HOLD_STATE").startsWith(constantOf("revoke", "HOLD_HEAD"))).toBe(
      true,
    )
  })
})

describe("kinds", () => {
  const bytes: [name: string, byte: number][] = files.flatMap(({ constants }) =>
    [...constants]
      .filter(([name]) => name.startsWith("KIND_"))
      .map(([name, byte]): [string, number] => [
        name.slice("KIND_".length).toLowerCase(),
        Number(byte),
      ]),
  )

  test("that scripts write are read in TypeScript as they are named in Lua", () => {
    expect(new Set(bytes.map(([name]) => name))).toEqual(
      new Set([
        ...["charge", "capture", "keyed_charge", "keyed_capture"],
        ...["reversal", "open", "auth_version", "passed_over", "told"],
      ]),
    )
    for (const [name, byte] of bytes) {
      const [record] = decodeRecords(recordOf(byte))
      expect<unknown[]>([byte, record?.kind]).toEqual([byte, name.replace(/^keyed_/, "")])
      expect([byte, record?.keyed !== null]).toEqual([byte, name.startsWith("keyed_")])
      expect<unknown[]>([byte, record?.type]).toEqual([byte, byte < 32 ? 2 : byte < 64 ? 1 : 0])
    }
  })

  test("of instructions are those that apply.lua tells apart, and the rest add money", () => {
    const { open, auth_version, reversal, ...credits } = INSTRUCTION_BYTES
    expect(String(open)).toBe(constantOf("apply", "KIND_OPEN"))
    expect(String(auth_version)).toBe(constantOf("apply", "KIND_AUTH_VERSION"))
    expect(String(reversal)).toBe(constantOf("apply", "KIND_REVERSAL"))
    for (const byte of [...Object.values(credits), reversal]) {
      expect(byte).toBeGreaterThanOrEqual(32)
      expect(byte).toBeLessThan(64)
    }
  })
})

/** A record of 5 fen, balance 9 afterwards, with the details that its kind has. */
function recordOf(kind: number): Buffer {
  const charge = Buffer.from("key_test\x1fuser.login\x1f1\x1freq_1\x1f")
  const details =
    kind < 32
      ? Buffer.concat([Buffer.alloc(kind < 3 ? 0 : 30), charge])
      : kind === 37
        ? Buffer.concat([Buffer.alloc(16), charge])
        : Buffer.concat([Buffer.alloc(8), Buffer.from("rdm_1\x1fof a test")])
  const head = Buffer.alloc(43)
  head.write(newAccountId().slice(5), "latin1")
  head.writeUInt8(kind, 16)
  head.writeUInt8(1, 17)
  head.writeUInt8(5, 25)
  head.writeUInt8(9, 33)
  head.writeUInt16LE(details.length, 41)
  return Buffer.concat([head, details])
}
