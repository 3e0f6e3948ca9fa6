import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { newAccountId } from "../../src/ids.ts"
import { type ChargeOutcome, createBatch } from "../../src/ledger/batch.ts"
import { KIND_BYTES } from "../../src/ledger/records.ts"
import { readReply } from "../../src/ledger/run-script.ts"
import { fen } from "../../src/money.ts"
import { readLuaFiles, readLuaReadme } from "../support/lua-files.ts"

const files = readLuaFiles()
const COMMANDS = ["GET", "MGET", "SET", "MSET", "DEL", "EXISTS", "TIME", "XADD", "XTRIM"]
const FIRST_WRITE = /redis\.call\("(?!GET|MGET|EXISTS|TIME|XADD)/
const SHARED_FORMATS = ["META", "ACCOUNT", "ITEM", "RECORD", "REPLY", "INSTRUCTION"]

describe("every script", () => {
  for (const { name, body, keys, args, returns, constants } of files) {
    test(`${name} names its keys, arguments and answers`, () => {
      expect(keys.length).toBeGreaterThan(0)
      expect(args.length).toBeGreaterThan(0)
      expect(returns.length).toBeGreaterThan(0)
    })

    test(`${name} uses each key and argument that it names, and no other`, () => {
      const used = (what: string) =>
        new Set(
          [...body.matchAll(new RegExp(`\\b${what}\\[(\\d+)\\]`, "g"))].map(([, n]) => Number(n)),
        )
      const fixed = keys.filter((key) => !key.endsWith("…")).length
      expect([...used("ARGV")].sort((a, b) => a - b)).toEqual(args.map((_, i) => i + 1))
      expect([...used("KEYS")].sort((a, b) => a - b)).toEqual(
        Array.from({ length: fixed }, (_, i) => i + 1),
      )
      expect(body.includes(`unpack(KEYS, ${fixed + 1})`)).toBe(fixed < keys.length)
    })

    test(`${name} answers with the words of its header, and no other`, () => {
      const answered = new Set([...body.matchAll(/\{ "(\w+)"/g)].map(([, word]) => word ?? ""))
      expect([...answered].sort()).toEqual(returns.map(({ word }) => word).sort())
    })

    test(`${name} answers words that run-script knows, with a body where the header names one`, () => {
      for (const { word, text } of returns) {
        const hasBody = /^\w+\s+(reply|state):/.test(text)
        const read = () => readReply([Buffer.from(word)])
        if (hasBody) expect(read).toThrow("came without its body")
        else expect(read()).toEqual(readReply([Buffer.from(word), Buffer.from("more")]))
      }
    })

    test(`${name} calls no command outside the list`, () => {
      const calls = [...body.matchAll(/redis\.(\w+)\(([^,)]*)/g)]
      expect(calls.length).toBeGreaterThan(0)
      for (const [, how, command = ""] of calls) {
        expect(how).toBe("call")
        expect(COMMANDS).toContain(command.replaceAll('"', ""))
      }
    })

    test(`${name} marks, before its first write but the append, from where on it must succeed`, () => {
      const mark = body.search(/-- From here on .* must succeed/)
      const write = body.search(FIRST_WRITE)
      expect(mark).toBeGreaterThan(-1)
      expect(write).toBeGreaterThan(mark)
    })

    test(`${name} packs as all the others do`, () => {
      for (const format of SHARED_FORMATS) {
        const others = files
          .map((file) => file.constants.get(format))
          .filter((text) => text !== undefined)
        const own = constants.get(format)
        if (own !== undefined) expect(new Set(others)).toEqual(new Set([own]))
      }
    })

    test(`${name} reads the head of meta as it is packed`, () => {
      const meta = files.find((file) => file.name === "charge")?.constants.get("META") ?? "none"
      for (const [, format = "none"] of body.matchAll(/struct\.unpack\("(<I4[^"]*)", meta/g)) {
        expect(meta.startsWith(format)).toBe(true)
      }
    })

    test(`${name} never turns a number into text but by string.format`, () => {
      expect(body).not.toContain("tostring")
      const joined = [
        ...body.matchAll(
          /\.\. (?!"|table\.concat|details|rest|reply|string\.format|sub\(|ARGV)(\S+)/g,
        ),
      ]
      expect(joined.map(([text]) => text)).toEqual([])
    })
  }
})

test("the words of run-script are those of the headers, and no other", () => {
  const source = readFileSync(new URL("../../src/ledger/run-script.ts", import.meta.url), "utf8")
  const list = /const WORDS = \[([^\]]*)\]/.exec(source)?.[1] ?? ""
  const words = [...list.matchAll(/"(\w+)"/g)].map(([, word]) => word ?? "")
  const answered = new Set(files.flatMap(({ returns }) => returns.map(({ word }) => word)))
  expect([...answered].sort()).toEqual(words.sort())
})

test("each kind has one byte, the same in Lua and in TypeScript", () => {
  const named = files.flatMap(({ constants }) =>
    [...constants].filter(([name]) => name.startsWith("KIND_")),
  )
  const bytes = new Map<string, number>(Object.entries(KIND_BYTES))
  expect(new Set(named.map(([name]) => name))).toEqual(
    new Set(["KIND_CHARGE", "KIND_REVERSAL", "KIND_OPEN", "KIND_AUTH_VERSION"]),
  )
  for (const [name, byte] of named) {
    expect(bytes.get(name.slice("KIND_".length).toLowerCase())).toBe(Number(byte))
  }
})

test("the outcome bytes of charge.lua are ChargeOutcome's, in their order", () => {
  const items = files.find(({ name }) => name === "charge")?.items ?? []
  const statuses = [
    "accepted",
    "account_unknown",
    "account_frozen",
    "account_closed",
    "auth_changed",
    "insufficient_balance",
  ]
  expect(items).toEqual(statuses.map((name, byte) => ({ byte, name })))
  for (const { byte, name } of items) expect(outcomeOfByte(byte).status).toBe(asStatus(name))
})

test("the README's formats are those of the scripts", () => {
  const rows = new Map(
    [...readLuaReadme().matchAll(/^\| (\w+) \| `([^`]+)`/gm)].map(([, what = "", format = ""]) => [
      what,
      format,
    ]),
  )
  const charge = files.find(({ name }) => name === "charge")?.constants
  const apply = files.find(({ name }) => name === "apply")?.constants
  for (const [what, constants] of [
    ["meta", charge],
    ["account", charge],
    ["item", charge],
    ["record", charge],
    ["instruction", apply],
  ] as const) {
    expect([what, rows.get(what)]).toEqual([what, constants?.get(what.toUpperCase())?.slice(1)])
  }
})

function outcomeOfByte(byte: number): ChargeOutcome {
  const batch = createBatch()
  const seen: ChargeOutcome[] = []
  batch.add(
    { accountId: newAccountId(), amountFen: fen(1), authVersion: 1, details: "" },
    (outcome) => seen.push(outcome),
  )
  const reply = Buffer.alloc(8 + 25)
  reply.writeUInt8(byte, 8)
  batch.answer(reply)
  const [outcome] = seen
  if (outcome === undefined) throw new Error("a batch must answer each of its items")
  return outcome
}

function asStatus(name: string): ChargeOutcome["status"] {
  const statuses = {
    accepted: true,
    account_unknown: true,
    account_frozen: true,
    account_closed: true,
    auth_changed: true,
    insufficient_balance: true,
    unavailable: true,
  } as const satisfies Record<ChargeOutcome["status"], true>
  const found = Object.keys(statuses).find(
    (status): status is ChargeOutcome["status"] => status === name,
  )
  if (found === undefined) throw new Error(`charge.lua names ${name}, which is no ChargeOutcome`)
  return found
}
