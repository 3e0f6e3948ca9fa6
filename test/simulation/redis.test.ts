import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import type { Redis } from "ioredis"
import type { AccountId } from "../../src/ids.ts"
import { counterKey, metaKey } from "../../src/ledger/keys.ts"
import { fen } from "../../src/money.ts"
import { apply, instruction, reversalOf } from "../lua/instructions.ts"
import { type ItemOf, keyed, limitsOf } from "../support/batches.ts"
import { type Gateway, GENESIS, type Scripts, startScripts } from "../support/scripts.ts"
import { createRandom, type Random } from "./random.ts"
import type { Reply } from "./redis/commands.ts"
import { createRedisServer, type RedisServer } from "./redis/server.ts"

setDefaultTimeout(120_000)

/** The stand-in of Redis does with the scripts what Redis does: to the byte. */

let s: Scripts
let standIn: RedisServer
/** Of the real one, in bytes. */
let ask: Redis["callBuffer"]
beforeAll(async () => {
  s = await startScripts()
  ask = s.redis.callBuffer.bind(s.redis)
  standIn = createRedisServer({
    // Behind the clock of meta, as Redis's own is: so both take that one.
    nowMs: () => 1_000,
    onScriptError: (error) => {
      throw error
    },
    onAppend: () => undefined,
  })
})
afterAll(() => s.stop())

test("translated Lua computes what Lua computes", async () => {
  const snippets = [
    'return 1000000000000000 .. ""',
    'return 123456789012341 * 10 .. ""',
    'return 0.1 + 0.2 .. ""',
    'return -5 % 3 .. ""',
    'return 7 / 2 .. ""',
    'return "10" * "2" + 1 .. ""',
    "return 3.99",
    "return -3.99",
    'return string.format("%.0f", 90000000000000000)',
    'return string.sub("hello", -3) .. string.sub("hello", 2, -2) .. string.sub("hello", 0, 1)',
    'return string.sub("hello", 4, 2) .. string.rep("ab", 3) .. #"xyz"',
    "return tonumber('0012') + tonumber('1e3') + (tonumber('x') or 5)",
    "return { 1, 2, false, 4 }",
    "return { 1, nil, 3 }",
    "local t = {} t[3] = 'c' t[1] = 'a' t[2] = 'b' return { #t, t[3] }",
    "local t = { 1, 2, 3 } t[#t] = nil return #t",
    "local t = {} for i = 1, 5 do t[#t + 1] = i end return { unpack(t, 2, 4) }",
    "local a, b, c = unpack({ 1, 2 }) return { a, b, c == nil and 'none' or 'some' }",
    "local function f() return 1, 2, 3 end return { f(), f() }",
    "return { 0 and 'true' or 'false', '' and 'true' or 'false', not nil and 1 or 2 }",
    "local s = 0 for _, n in ipairs({ 1, 2, nil, 4 }) do s = s + n end return s",
    "return struct.pack('<I2I4I8Bc3', 65535, 4294967295, 9007199254740991, 255, 'abcdef')",
    "return { struct.unpack('<BI6c2', struct.pack('<BI6c2', 7, 281474976710655, 'xy')) }",
    "return { string.match('chg_abc_202611_42', '^chg_%w+_%d+_(%d+)') }",
    "return { bit.band(21, 7), math.max(1, 5, 3), math.floor(-1.5), math.ceil(1.2) }",
    "local x = 1 do local x = 2 end while x < 10 do x = x * 3 end return x",
    "return redis.call('GET', 'nobody') == false and 'nil' or 'value'",
    "return { 'a' < 'b' and 1 or 0, 'Z' < 'a' and 1 or 0, 2 <= 2 and 1 or 0 }",
  ]
  for (const snippet of snippets) {
    const real = await s.redis.callBuffer("EVAL", snippet, 0)
    expect([snippet, bytesOf(standIn.execute(["EVAL", snippet, "0"]))]).toEqual([snippet, real])
  }
})

test("what scripts refuse to compute, both refuse", async () => {
  const snippets = [
    "return 1 + nil",
    "return {} .. ''",
    "return nil < 1",
    "return '1' < 2",
    "return nobody.name",
    "local t = nil return t[1]",
    "return struct.unpack('<I4', 'abc')",
    "return struct.pack('<c4', 'abc')",
    "nobody = 1",
  ]
  for (const snippet of snippets) {
    const real = await s.redis.callBuffer("EVAL", snippet, 0).then(String, () => "refused")
    let found = "carried out"
    try {
      standIn.execute(["EVAL", snippet, "0"])
    } catch {
      found = "refused"
    }
    expect([snippet, found]).toEqual([snippet, real])
  }
})

test("hundreds of calls of all scripts, at random, leave the same keys and get the same answers", async () => {
  const random = createRandom(20_261_121)
  await s.setClock(4_000_000_000_000)
  await copyKeys()
  const calls = followCalls()
  const accounts = await openAccounts()
  const gateways = [await s.gateway(), await s.gateway()]
  for (let round = 0; round < 25; round++) {
    for (let n = 0; n < 10; n++) await sendBatch(random, { accounts, gateways })
    await disturb(random, { accounts, round })
    await expectSameKeys()
  }
  expect(calls.count()).toBeGreaterThan(400)
  expect(new Set(calls.words())).toEqual(
    new Set(["done", "revoked", "barred", "applied", "acknowledged", "seeded", "raised", "opened"]),
  )
})

/** Each call of the real Redis is made of the stand-in too, and their answers are compared. */
function followCalls() {
  let count = 0
  const words: string[] = []
  const follow = async (name: string, ...args: (string | Buffer | number)[]) => {
    const real = await ask(name, ...args)
    const given = args.map((arg) => Buffer.from(typeof arg === "number" ? String(arg) : arg))
    const reply = standIn.execute([name, ...given.map((bytes) => bytes.toString("latin1"))])
    const found = bytesOf(reply)
    expect(found).toEqual(real)
    count++
    if (Array.isArray(found)) words.push(String(found[0]))
    return real
  }
  Reflect.set(s.redis, "callBuffer", follow)
  return { count: () => count, words: () => words }
}

async function openAccounts(): Promise<AccountId[]> {
  const accounts: AccountId[] = []
  for (let n = 0; n < 3; n++) {
    const accountId = await s.put({ balanceFen: 0 })
    await s.redis.del(`{p0}:1:a:${accountId.slice(5)}`)
    await apply(s, accountId, {
      instructions: [
        instruction({ number: 1, kind: "open", authVersion: 1 }),
        instruction({ number: 2, amountFen: fen(20_000) }),
      ],
    })
    accounts.push(accountId)
  }
  return accounts
}

const holds: string[] = []
const seqs = new Map<AccountId, number>()
let instructions = 2

async function sendBatch(
  random: Random,
  { accounts, gateways }: { accounts: readonly AccountId[]; gateways: readonly Gateway[] },
): Promise<void> {
  const items = Array.from({ length: random.integer(1, 6) }, () => drawItem(random, accounts))
  const gateway = random.pick(gateways)
  if (random.chance(0.05)) {
    await gateway.prepare(items).revoke()
    return
  }
  const sent = await gateway.send(items)
  for (const outcome of sent.outcomes) if (outcome.status === "held") holds.push(outcome.holdId)
  for (const [i, outcome] of sent.outcomes.entries()) {
    const item = items[i]
    if (outcome.status !== "accepted" || item === undefined || !("accountId" in item)) continue
    seqs.set(item.accountId, outcome.seq)
  }
  if (random.chance(0.1)) await sent.again()
  if (random.chance(0.15)) await sent.revoke()
}

function drawItem(random: Random, accounts: readonly AccountId[]): ItemOf {
  const [accountId, amountFen] = [random.pick(accounts), random.integer(1, 90)]
  const authVersion = random.chance(0.05) ? 2 : random.chance(0.1) ? null : 1
  const isKeyed = random.chance(0.4)
  const dice = random.next()
  const isOnce = random.chance(0.2)
  const name = `${dice < 0.5 ? "k" : "h"}${isOnce ? "o" : ""}${random.integer(1, 25)}`
  const fingerprint = random.chance(0.1) ? "others" : "prints"
  const key = isKeyed ? { idempotency: keyed(name, { fingerprint, isOnce }) } : {}
  const dailyFen = random.integer(500, 4_000)
  const limits = random.chance(0.3)
    ? { limits: limitsOf("key_0123456789abcdef", { dailyFen, ratePerSecond: 50 }) }
    : {}
  if (dice < 0.5) return { accountId, amountFen, authVersion, ...key, ...limits }
  const hold = { verb: "hold", accountId, amountFen, authVersion, ...key, ...limits } as const
  const holdId = holds.length > 0 ? random.pick(holds) : null
  if (dice < 0.7 || holdId === null) return { ...hold, isInternal: random.chance(0.3) }
  const again = isKeyed ? { idempotency: keyed(`c${name}`) } : {}
  if (dice < 0.9) return { verb: "capture", holdId, amountFen: random.integer(0, 60), ...again }
  return { verb: "void", holdId, isExpiry: random.chance(0.3), ...again }
}

/** What is not a batch: credits, reversals, acknowledgements, seeds, and time that passes. */
async function disturb(
  random: Random,
  { accounts, round }: { accounts: readonly AccountId[]; round: number },
): Promise<void> {
  const number = ++instructions
  for (const accountId of accounts) {
    const seq = seqs.get(accountId)
    const credit =
      seq === undefined || random.chance(0.6)
        ? instruction({ number, amountFen: fen(random.integer(1, 3_000)) })
        : reversalOf(accountId, { number, seq, amountFen: 1 })
    await apply(s, accountId, { instructions: [credit] })
  }
  const meta = await s.meta()
  const flushed = Math.floor(meta.entryNumber * random.next())
  const trim = String(Math.floor(flushed / 2))
  await s.run("acknowledge", {
    keys: [metaKey(0), "{p0}:1:stream"],
    args: ["1", String(flushed), String(meta.flushed), trim],
  })
  await s.run("seedCounter", {
    keys: [metaKey(0), counterKey(0, 1, "key_0123456789abcdef")],
    args: ["1", "1", "1", "46296", "100", "1521", "100", "100"],
  })
  await s.run("raiseServices", { keys: [metaKey(0)], args: ["1", "1", String(round)] })
  await s.openSlot()
  await s.setClock((await s.meta()).clockMs + random.integer(0, 40_000))
  await copyMeta()
}

/** Tests write these keys past the scripts. */
async function copyMeta(): Promise<void> {
  const meta = await s.redis.getBuffer(metaKey(0))
  standIn.execute(["SET", metaKey(0), meta?.toString("latin1") ?? ""])
}

async function copyKeys(): Promise<void> {
  standIn.execute(["XADD", "{p0}:1:stream", "1-0", "id", GENESIS])
  for (const name of Object.values(s.hashes)) expect(name).toHaveLength(40)
  await copyMeta()
  await loadScripts()
}

async function loadScripts(): Promise<void> {
  const { SCRIPT_NAMES, scriptText } = await import("../../src/ledger/scripts.ts")
  for (const name of SCRIPT_NAMES) {
    const text = Buffer.from(scriptText(name, 1)).toString("latin1")
    expect(standIn.execute(["SCRIPT", "LOAD", text])).toBe(s.hashes[name])
  }
}

async function expectSameKeys(): Promise<void> {
  const names = await s.redis.keys("*")
  const others = [...standIn.data().keys()]
  expect(others.toSorted()).toEqual(names.filter((name) => name !== "{p0}:claim").toSorted())
  for (const name of others) {
    const type = await s.redis.type(name)
    const read = READERS[type]
    if (read === undefined) throw new Error(`a key of type ${type}`)
    const [command, ...args] = read(name)
    const real = await ask(command, ...args)
    const found = standIn.execute(read(name))
    expect([name, sorted(type, textsOf(found))]).toEqual([
      name,
      sorted(type, textsOf(toReply(real))),
    ])
  }
}

const READERS: Readonly<Record<string, ((name: string) => [string, ...string[]]) | undefined>> = {
  string: (name) => ["GET", name],
  stream: (name) => ["XRANGE", name, "-", "+"],
  hash: (name) => ["HGETALL", name],
  zset: (name) => ["ZRANGEBYSCORE", name, "-inf", "9007199254740991"],
}

function sorted(type: string, values: readonly string[]): readonly string[] {
  return type === "hash" ? values.toSorted() : values
}

function bytesOf(reply: Reply): unknown {
  if (reply === null || typeof reply === "number") return reply
  if (typeof reply === "string") return Buffer.from(reply, "latin1")
  return reply.map(bytesOf)
}

function textsOf(reply: Reply): string[] {
  if (reply === null) return ["null"]
  if (typeof reply === "object") return reply.flatMap(textsOf)
  return [String(reply)]
}

function toReply(value: unknown): Reply {
  if (Array.isArray(value)) return value.map(toReply)
  if (Buffer.isBuffer(value)) return value.toString("latin1")
  return typeof value === "number" ? value : null
}
