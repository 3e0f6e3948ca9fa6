import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { readReply } from "../../src/ledger/run-script.ts"
import { type LuaFile, readLuaFiles } from "../support/lua-files.ts"

/** What every script says of itself in its header is what it does, and what TypeScript expects. */

const files = readLuaFiles()
const READS = ["GET", "MGET", "EXISTS", "HEXISTS", "TIME", "XRANGE"]
const WRITES = ["SET", "SETRANGE", "MSET", "DEL", "XADD", "XTRIM", "HSET", "ZADD", "ZREM"]
/** Anything but what reads, and the append, which may be refused. */
const FIRST_WRITE = new RegExp(`redis\\.call\\("(?!${[...READS, "XADD"].join("|")})`)

describe("every script", () => {
  for (const file of files) {
    const { name, body, keys, args, returns } = file

    test(`${name} names its keys, arguments and answers`, () => {
      expect(keys.length).toBeGreaterThan(0)
      expect(args.length).toBeGreaterThan(0)
      expect(returns.length).toBeGreaterThan(0)
    })

    test(`${name} uses each key and argument that it names, and no other`, () => {
      const used = (what: string) => [
        ...new Set(
          [...body.matchAll(new RegExp(`\\b${what}\\[(\\d+)\\]`, "g"))].map(([, n]) => Number(n)),
        ),
      ]
      expect(used("ARGV").toSorted((a, b) => a - b)).toEqual(args.map((_, i) => i + 1))
      const { fixed, many, last } = sortKeys(file)
      expect(used("KEYS").toSorted((a, b) => a - b)).toEqual(fixed.map((_, i) => i + 1))
      expect(body.includes(`unpack(KEYS, ${fixed.length + 1}`)).toBe(many.length > 0)
      expect(body.includes("KEYS[#KEYS]")).toBe(last.length > 0)
    })

    test(`${name} names the keys of which there are many in one order: accounts, others, holds`, () => {
      const { many, last } = sortKeys(file)
      expect([[], ["account…", "other…"]]).toContainEqual(many)
      expect(last).toEqual(many.length > 0 ? ["holds"] : [])
    })

    test(`${name} answers with the words of its header, and no other`, () => {
      const answered = new Set([...body.matchAll(/\{ "(\w+)"/g)].map(([, word]) => word ?? ""))
      expect([...answered].toSorted()).toEqual(returns.map(({ word }) => word).toSorted())
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
        expect([...READS, ...WRITES]).toContain(command.replaceAll('"', ""))
      }
    })

    test(`${name} marks, before its first write but the append, from where on it must succeed`, () => {
      const mark = body.search(/-- From here on .* must succeed/)
      const write = body.search(FIRST_WRITE)
      expect(mark).toBeGreaterThan(-1)
      expect(write).toBeGreaterThan(mark)
    })

    test(`${name} appends before the last mark, to a stream that must be there`, () => {
      const appends = [...body.matchAll(/"XADD", stream, ("NOMKSTREAM", ARGV\[1\] \.\. "-\*")?/g)]
      for (const { index, 1: guard } of appends) {
        expect(guard).toBeDefined()
        expect(body.lastIndexOf("-- From here on")).toBeGreaterThan(index)
      }
      const hasStream = keys.includes("stream")
      expect(appends.length).toBe(hasStream && APPENDING.includes(name) ? 1 : 0)
    })

    test(`${name} reads the head of meta as it is packed`, () => {
      const meta = files.find((other) => other.name === "decide")?.constants.get("META") ?? "none"
      const heads = [...body.matchAll(/struct\.unpack\("(<I4[^"]*)", (?:meta|found\[1\])\)/g)]
      for (const [, format = "none"] of heads) expect(meta.startsWith(format)).toBe(true)
    })

    test(`${name} turns no number into text but by string.format`, () => {
      expect(body).not.toContain("tostring")
      const joined = [...body.matchAll(/\.\. (\S+?)[,)\s]/g)].map(([, text = ""]) => text)
      expect(joined.filter((text) => !IS_TEXT.test(text))).toEqual([])
    })
  }
})

const APPENDING = ["decide", "revoke", "apply"]
/** What scripts join to other texts: literals, what is packed or cut out, and details as they came. */
const IS_TEXT =
  /^("|\(?string\.(format|match|rep)\(|table\.concat\(|pack\(|sub\(|ARGV\[|details|rest|reply|told|tail|a\[7\])/

function sortKeys({ keys }: LuaFile) {
  const first = keys.findIndex((key) => key.endsWith("…"))
  if (first === -1) return { fixed: keys, many: [], last: [] }
  const rest = keys.slice(first)
  return {
    fixed: keys.slice(0, first),
    many: rest.filter((key) => key.endsWith("…")),
    last: rest.filter((key) => !key.endsWith("…")),
  }
}

test("the words of run-script are those of the headers, and no other", () => {
  const source = readFileSync(new URL("../../src/ledger/run-script.ts", import.meta.url), "utf8")
  const list = /const WORDS = \[([^\]]*)\]/.exec(source)?.[1] ?? ""
  const words = [...list.matchAll(/"(\w+)"/g)].map(([, word]) => word ?? "")
  const answered = new Set(files.flatMap(({ returns }) => returns.map(({ word }) => word)))
  expect([...answered].toSorted()).toEqual(words.toSorted())
})

test("a name stands for one thing in all scripts, but for the two ways of a reversal", () => {
  const values = new Map<string, Set<string>>()
  for (const { constants } of files) {
    for (const [name, value] of constants) {
      values.set(name, (values.get(name) ?? new Set()).add(value))
    }
  }
  const several = [...values].filter(([, those]) => those.size > 1)
  expect(several).toEqual([["KIND_REVERSAL", new Set(["38", "37"])]])
})

test("what revoke knows of an outcome is what decide's header says of it", () => {
  const items = files.find(({ name }) => name === "decide")?.items ?? []
  const revoke = files.find(({ name }) => name === "revoke")?.constants
  expect(items.map(({ byte }) => byte)).toEqual(items.map((_, byte) => byte))
  expect(items[Number(revoke?.get("ACCEPTED"))]?.name).toBe("accepted")
  expect(items[Number(revoke?.get("REPLAYED"))]?.name).toBe("replayed")
})

test("no script gives an end to anything but what decide keeps for a while", () => {
  for (const { name, body } of files) {
    const ends = [...body.matchAll(/"(PX|EX|PEXPIRE|EXPIRE|PXAT|EXAT)"/g)]
    expect([name, ends.length]).toEqual([name, name === "decide" ? 1 : 0])
  }
})
