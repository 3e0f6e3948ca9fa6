import { expect, setDefaultTimeout, test } from "bun:test"
import { Redis } from "ioredis"
import { readOpening } from "../../db/queries/read-opening.ts"
import { newId } from "../../src/ids.ts"
import { SCRIPT_NAMES, type ScriptName, scriptHashes } from "../../src/ledger/scripts.ts"
import { IDEMPOTENCY_TTL_MS, UNFLUSHED_RECORDS_MAX } from "../../src/limits.ts"
import { fen } from "../../src/money.ts"
import { keyed, limitsOf } from "../support/batches.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { startLedger, type TestLedger, withStores } from "../support/ledger.ts"
import { readLuaFiles } from "../support/lua-files.ts"
import { startRelay } from "../support/relay.ts"

setDefaultTimeout(30_000)

const FILES: Record<ScriptName, string> = {
  decide: "decide",
  revoke: "revoke",
  apply: "apply",
  acknowledge: "acknowledge",
  openSlot: "open_slot",
  forgetResult: "forget_result",
  closeSlot: "close_slot",
  seedCounter: "seed_counter",
  raiseServices: "raise_services",
}

/** What each name of a header looks like, where this gateway process of partition 0 sends it. */
const KEYS: Record<string, RegExp> = {
  meta: /^\{p0\}:meta$/,
  claim: /^\{p0\}:claim$/,
  built: /^\{p0\}:[12]:built$/,
  result: /^\{p0\}:2:r:[\w-]{16}$/,
  stream: /^\{p0\}:[12]:stream$/,
  memo: /^\{p0\}:[12]:slot:\w{12}$/,
  account: /^\{p0\}:[12]:a:\w{16}$/,
  "account…": /^\{p0\}:[12]:a:\w{16}$/,
  "other…": /^\{p0\}:[12]:(r:[\w-]{16}|k:\w{16}|h:\w{32})$/,
  holds: /^\{p0\}:[12]:holds$/,
  reversed: /^\{p0\}:[12]:reversed$/,
  counter: /^\{p0\}:[12]:k:\w{16}$/,
}
const ARGS: Record<string, RegExp> = {
  generation: /^[12]$/,
  partitions: /^1$/,
  unflushed: new RegExp(`^${UNFLUSHED_RECORDS_MAX}$`),
  slot: /^\w{12}$/,
  batch: /^\d+$/,
  entry: /^(\w{8}|\d+)$/,
  items: /./,
  accounts: /^[1-9]$/,
  kept: new RegExp(`^${IDEMPOTENCY_TTL_MS}$`),
  instructions: /./,
  records: /^\d+$/,
  trim: /^\d+$/,
  clock: /^\d+$/,
  services: /^1$/,
  version: /^\d+$/,
  day: /^\d{5}$/,
  day_fen: /^\d+$/,
  month: /^2\d{4}$/,
  month_fen: /^\d+$/,
  total_fen: /^\d+$/,
  id: /^(\w{8})?$/,
  claim: /^[12]$/,
  number: /^\d+$/,
  pages: /^\d+$/,
}

type Call = { script: string; keys: string[]; args: string[] }

test("TypeScript passes to each script the keys and arguments of its header, in their order", async () => {
  await withStores({}, async (stores) => {
    const monitor = await new Redis(stores.redisUrl, { retryStrategy: () => null }).monitor()
    const commands: string[][] = []
    monitor.on("monitor", (_time: string, command: string[]) => commands.push(command))
    const relay = await startRelay(stores.redisPort)
    const ledger = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
    const item = await itemOfEachKind(ledger)
    relay.holdReplies()
    expect(await ledger.ledger.charge(item)).toEqual({ status: "unavailable" })
    relay.release()
    await eventually(async () => {
      expect((await ledger.ledger.health()).status).toBe("ready")
    })
    // A generation that ends under a batch that was answered 503.
    const plain = { ...item, idempotency: null }
    await eventually(async () => (await ledger.ledger.charge(plain)).status === "accepted")
    relay.holdReplies()
    const entries = () => ledger.redis.xlen("{p0}:1:stream")
    const entriesBefore = await entries()
    const charging = ledger.ledger.charge(item)
    await eventually(async () => (await entries()) > entriesBefore)
    relay.refuse()
    expect(await charging).toEqual({ status: "unavailable" })
    await ledger.books()
    await ledger.redis.flushall()
    await eventually(async () => (await readOpening(stores.sql)).generations[0] === 2)
    relay.accept()
    await eventually(async () => {
      expect((await ledger.ledger.health()).status).toBe("ready")
    })
    await ledger.stop()

    const scripts = scriptHashes((await readOpening(stores.sql)).openings[0] ?? 0)
    const calls = commands.flatMap((command) => readCall(command, scripts))
    monitor.disconnect()
    await relay.stop()
    expect(new Set(calls.map(({ script }) => script))).toEqual(
      new Set(readLuaFiles().map(({ name }) => name)),
    )
    for (const call of calls) expectToFit(call)
    const named = new Set(
      calls.filter(({ script }) => script === "revoke").map(({ keys }) => keys.length),
    )
    expect(named).toEqual(new Set([8]))
  })
})

/** Asks all that a gateway asks; answers a charge with a key and limits, to be revoked. */
async function itemOfEachKind({ openAccount, charge, ledger }: TestLedger) {
  const accountId = await openAccount({ balanceFen: 100 })
  await charge(accountId, 1)
  expect(await ledger.raiseServices(1)).toBe(true)
  const limits = limitsOf(newId("key"), { version: 0, dailyFen: 90 })
  expect(await ledger.seedCounter(accountId, limits)).toBe("seeded")
  const spending = {
    ...chargeOf({ accountId, amountFen: fen(1) }),
    limits,
    idempotency: keyed("k1"),
  }
  const held = await ledger.hold({ ...spending, ttlMs: 60_000, isInternal: false })
  if (held.status !== "held") throw new Error(`not held: ${held.status}`)
  const { holdId } = held
  const captured = await ledger.capture({ holdId, amountFen: null, idempotency: keyed("k2") })
  expect(captured.status).toBe("accepted")
  const voided = await ledger.voidHold({ holdId, idempotency: keyed("k3") })
  expect(voided.status).toBe("hold_already_resolved")
  return { ...spending, idempotency: keyed("k4") }
}

function readCall(command: string[], scripts: Record<ScriptName, string>): Call[] {
  const [verb = "", what = "", count = "0", ...rest] = command
  if (!/^eval(sha)?$/i.test(verb)) return []
  const name = SCRIPT_NAMES.find((script) => scripts[script] === what)
  const whole = /-- (fence_partition|open_partition): /.exec(what)?.[1]
  const script = name === undefined ? (whole ?? "unknown") : FILES[name]
  return [{ script, keys: rest.slice(0, Number(count)), args: rest.slice(Number(count)) }]
}

function expectToFit({ script, keys, args }: Call): void {
  const file = readLuaFiles().find(({ name }) => name === script)
  if (file === undefined) throw new Error(`no script ${script}`)
  expect([script, args.length]).toEqual([script, file.args.length])
  for (const [i, name] of file.args.entries()) {
    expect(args[i]).toMatch(ARGS[name] ?? "no such argument")
  }
  const accounts = Number(args[file.args.indexOf("accounts")] ?? 0)
  const names = namesFor(file.keys, { accounts, keys: keys.length })
  expect([script, keys.length]).toEqual([script, names.length])
  for (const [i, name] of names.entries()) expect(keys[i]).toMatch(KEYS[name] ?? "no such key")
}

/** The name of each key of a call, where a header says that there are many of some. */
function namesFor(
  header: readonly string[],
  { accounts, keys }: { accounts: number; keys: number },
): string[] {
  const first = header.indexOf("account…")
  if (first === -1) return [...header]
  const named = [...header.slice(0, first), ...Array<string>(accounts).fill("account…")]
  const others = keys - named.length - 1
  return others < 1 ? named : [...named, ...Array<string>(others).fill("other…"), "holds"]
}
