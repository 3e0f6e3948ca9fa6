import { expect, setDefaultTimeout, test } from "bun:test"
import { Redis } from "ioredis"
import { readOpening } from "../../db/queries/read-opening.ts"
import { SCRIPT_NAMES, type ScriptName, scriptHashes } from "../../src/ledger/scripts.ts"
import { UNFLUSHED_RECORDS_MAX } from "../../src/limits.ts"
import { eventually } from "../support/eventually.ts"
import { startLedger, withStores } from "../support/ledger.ts"
import { readLuaFiles } from "../support/lua-files.ts"
import { startRelay } from "../support/relay.ts"

setDefaultTimeout(30_000)

const FILES: Record<ScriptName, string> = {
  charge: "charge",
  revoke: "revoke",
  apply: "apply",
  acknowledge: "acknowledge",
  openSlot: "open_slot",
  closeSlot: "close_slot",
}

/** What each name of a header looks like, where this gateway process of partition 0 sends it. */
const KEYS: Record<string, RegExp> = {
  meta: /^\{p0\}:meta$/,
  stream: /^\{p0\}:1:stream$/,
  memo: /^\{p0\}:1:slot:\w{12}$/,
  account: /^\{p0\}:1:a:\w{16}$/,
  "account…": /^\{p0\}:1:a:\w{16}$/,
}
const ARGS: Record<string, RegExp> = {
  generation: /^1$/,
  partitions: /^1$/,
  unflushed: new RegExp(`^${UNFLUSHED_RECORDS_MAX}$`),
  slot: /^\w{12}$/,
  batch: /^\d+$/,
  entry: /^(\w{8}|\d+)$/,
  items: /key_test/,
  instructions: /./,
  records: /^\d+$/,
  trim: /^\d+$/,
  clock: /^0$/,
}

type Call = { script: string; keys: string[]; args: string[] }

test("TypeScript passes to each script the keys and arguments of its header, in their order", async () => {
  await withStores({}, async (stores) => {
    const monitor = await new Redis(stores.redisUrl, { retryStrategy: () => null }).monitor()
    const commands: string[][] = []
    monitor.on("monitor", (_time: string, command: string[]) => commands.push(command))
    const relay = await startRelay(stores.redisPort)
    const { ledger, openAccount, charge, stop } = await startLedger(stores, {
      redisUrl: relay.through(stores.redisUrl),
    })
    const account = await openAccount({ balanceFen: 10 })
    await charge(account, 1)
    relay.holdReplies()
    expect(await charge(account, 1)).toEqual({ status: "unavailable" })
    relay.release()
    await eventually(async () => expect((await ledger.health()).status).toBe("ready"))
    await stop()

    const scripts = scriptHashes((await readOpening(stores.sql)).opening)
    const calls = commands.flatMap((command) => readCall(command, scripts))
    monitor.disconnect()
    await relay.stop()
    expect(new Set(calls.map(({ script }) => script))).toEqual(
      new Set(readLuaFiles().map(({ name }) => name)),
    )
    for (const call of calls) expectToFit(call)
  })
})

function readCall(command: string[], scripts: Record<ScriptName, string>): Call[] {
  const [verb = "", what = "", count = "0", ...rest] = command
  if (!/^eval(sha)?$/i.test(verb)) return []
  const name = SCRIPT_NAMES.find((script) => scripts[script] === what)
  const isOpening =
    verb.toLowerCase() === "eval" && what.includes("open_partition: begins a generation")
  const script = name === undefined ? (isOpening ? "open_partition" : "unknown") : FILES[name]
  return [{ script, keys: rest.slice(0, Number(count)), args: rest.slice(Number(count)) }]
}

function expectToFit({ script, keys, args }: Call): void {
  const file = readLuaFiles().find(({ name }) => name === script)
  if (file === undefined) throw new Error(`no script ${script}`)
  expect([script, keys.length]).toEqual([script, file.keys.length])
  expect([script, args.length]).toEqual([script, file.args.length])
  for (const [i, name] of file.keys.entries()) expect(keys[i]).toMatch(KEYS[name] ?? "no such key")
  for (const [i, name] of file.args.entries())
    expect(args[i]).toMatch(ARGS[name] ?? "no such argument")
}
