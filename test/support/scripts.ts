import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Redis } from "ioredis"
import { startRedis } from "../../src/embedded/redis.ts"
import { type Entry, readEntries } from "../../src/flusher/read-entries.ts"
import { type AccountId, newAccountId, parseHoldId, randomChars } from "../../src/ids.ts"
import { writeInteger } from "../../src/ledger/bytes.ts"
import { oneNode } from "../../src/ledger/cluster.ts"
import {
  accountKey,
  builtKey,
  claimKey,
  counterKey,
  holdsKey,
  keyPrefix,
  memoKey,
  metaKey,
  reversedKey,
  streamKey,
} from "../../src/ledger/keys.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { readReply, runScript, type ScriptReply } from "../../src/ledger/run-script.ts"
import {
  FENCE_PARTITION_TEXT,
  OPEN_PARTITION_TEXT,
  SCRIPT_NAMES,
  type ScriptHashes,
  scriptHashes,
  scriptText,
} from "../../src/ledger/scripts.ts"
import {
  type AccountState,
  type AccountStatus,
  decodeAccount,
  decodeMeta,
  type Meta,
} from "../../src/ledger/states.ts"
import { type BatchOf, type ItemOf, type Outcome, type Packed, pack } from "./batches.ts"
import {
  type Counter,
  decodeCounter,
  decodeHold,
  decodeResult,
  encodeCounter,
  type HoldState,
  type Result,
} from "./packed.ts"
import { signal } from "./stores.ts"

/** The scripts on a Redis of their own, one partition of generation 1, without anything around them. */
export type Scripts = {
  redis: Redis
  hashes: ScriptHashes
  run(
    name: keyof ScriptHashes,
    call: { keys: string[]; args: (string | Buffer)[] },
  ): Promise<ScriptReply>
  openSlot(): Promise<string>
  /** A slot that numbers its batches by itself. */
  gateway(): Promise<Gateway>
  /** Writes a state as it is, and answers the account's id. */
  put(state?: Partial<NewState>): Promise<AccountId>
  decide(batch: BatchOf): Promise<Decided>
  /** Of a batch that was never sent, or has no holds: these have another name each time. */
  revoke(batch: BatchOf): Promise<ScriptReply["status"]>
  state(accountId: AccountId): Promise<AccountState>
  stateBytes(accountId: AccountId): Promise<Buffer | null>
  counter(keyId: string): Promise<Counter | null>
  writeCounter(keyId: string, change?: Partial<Counter>): Promise<void>
  hold(holdId: string): Promise<HoldState | null>
  result(digest: string): Promise<Result | null>
  /** The time of the scripts, which stands still while it is ahead of Redis's. */
  setClock(clockMs: number): Promise<void>
  meta(): Promise<Meta>
  writeMeta(change: Partial<Meta>): Promise<void>
  /** All entries, or those after one, through the flusher's own eyes: their chain is checked. */
  entries(after?: Pick<Meta, "entryNumber" | "entryId">): Promise<Entry[]>
  stop(): Promise<void>
}

export type NewState = {
  balanceFen: number
  heldFen: number
  seq: number
  instruction: number
  authVersion: number
  status: AccountStatus
  /** What a later version keeps behind the state of today. */
  rest: string
}

type SendOptions = Partial<Pick<BatchOf, "unflushedMax" | "keptMs">>
export type Gateway = {
  slot: string
  send(items: ItemOf[], options?: SendOptions): Promise<Sent>
  /** A batch that has its number, and is not sent. */
  prepare(items: ItemOf[], options?: SendOptions): Pick<Sent, "again" | "revoke">
}
export type Decided = {
  status: ScriptReply["status"]
  outcomes: Outcome[]
  /** The outcomes as the script writes them. */
  bytes: number[]
  reply: Buffer
}
export type Sent = Decided & {
  again(): Promise<Decided>
  revoke(): Promise<ScriptReply["status"]>
}

const [PARTITION, GENERATION] = [0, 1]
export const GENESIS = "genesis0"
const STATUS_BYTES = { open: 1, frozen: 2, closed: 3 } as const

export async function startScripts(): Promise<Scripts> {
  const dir = mkdtempSync(join(tmpdir(), "fengate-scripts-"))
  const server = await startRedis({ dir })
  const redis = connectRedis(server.url, { name: "scripts", commandTimeoutMs: 5_000 })
  await connected(redis, 5_000)
  const hashes = scriptHashes(1)
  for (const name of SCRIPT_NAMES) await redis.script("LOAD", scriptText(name, 1))
  await openPartition(redis)
  const run: Scripts["run"] = (name, call) => runScript(redis, hashes[name], call)

  return {
    ...{ redis, hashes, run, openSlot, gateway, put, state, meta, writeMeta, entries, stop },
    decide: (batch) => decide(batch, pack(batch.items)),
    revoke: (batch) => revoke(batch, pack(batch.items)),
    stateBytes: (accountId) => redis.getBuffer(keyOf(accountId)),
    counter: (keyId) => read(counterKey(PARTITION, GENERATION, keyId), decodeCounter),
    async writeCounter(keyId, change = {}) {
      const key = counterKey(PARTITION, GENERATION, keyId)
      const counter = (await read(key, decodeCounter)) ?? NEW_COUNTER
      await redis.set(key, encodeCounter({ ...counter, ...change }))
    },
    hold: (holdId) => read(holdKeyOf(holdId), decodeHold),
    result: (digest) => read(resultKeyOf(digest), decodeResult),
    setClock: (clockMs) => writeMeta({ clockMs }),
  }

  async function openSlot(): Promise<string> {
    const slot = randomChars(12)
    const stream = streamKey(PARTITION, GENERATION)
    const keys = [metaKey(PARTITION), memoKey(PARTITION, GENERATION, slot), stream]
    const { status } = await run("openSlot", { keys, args: ["1", "1", "0", ""] })
    if (status !== "opened") throw new Error(`the slot was not opened: ${status}`)
    return slot
  }

  async function gateway(): Promise<Gateway> {
    const slot = await openSlot()
    let settled = 0
    const prepare: Gateway["prepare"] = (items, options = {}) => {
      const batch = { ...options, slot, batch: settled + 1, items }
      const packed = pack(items)
      return {
        async again() {
          const decided = await decide(batch, packed)
          if (decided.status === "done") settled = batch.batch
          return decided
        },
        async revoke() {
          const status = await revoke(batch, packed)
          if (status === "revoked" || status === "barred") settled = batch.batch
          return status
        },
      }
    }
    const send: Gateway["send"] = async (items, options) => {
      const prepared = prepare(items, options)
      return { ...(await prepared.again()), ...prepared }
    }
    return { slot, send, prepare }
  }

  async function put(state: Partial<NewState> = {}): Promise<AccountId> {
    const accountId = newAccountId()
    await redis.set(keyOf(accountId), encodeState(state))
    return accountId
  }

  async function decide(call: BatchOf, packed: Packed): Promise<Decided> {
    const { generation = GENERATION, partitions = 1, unflushedMax = 1_000_000 } = call
    const { keptMs = 86_400_000, entryId = randomChars(8) } = call
    const reply = await run("decide", {
      keys: [...slotKeys(call.slot), ...itemKeys(packed)],
      args: [
        ...[String(generation), String(partitions), String(unflushedMax), call.slot],
        ...[String(call.batch), entryId, packed.items, String(packed.accounts.length)],
        String(keptMs),
      ],
    })
    if (reply.status !== "done") return { status: reply.status, ...NOTHING }
    const { status, body } = reply
    const [outcomes, bytes] = [packed.read(body, generation), packed.bytes(body)]
    return { status, outcomes, bytes, reply: body }
  }

  async function revoke(call: BatchOf, packed: Packed): Promise<ScriptReply["status"]> {
    const { generation = GENERATION, partitions = 1 } = call
    const reversed = reversedKey(PARTITION, GENERATION)
    const { status } = await run("revoke", {
      keys: [...slotKeys(call.slot), reversed, ...itemKeys(packed)],
      args: [
        ...[String(generation), String(partitions), call.slot, String(call.batch)],
        ...[randomChars(8), packed.items, String(packed.accounts.length)],
      ],
    })
    return status
  }

  async function state(accountId: AccountId): Promise<AccountState> {
    const found = await read(keyOf(accountId), decodeAccount)
    if (found === null) throw new Error(`${accountId} is not there`)
    return found
  }

  async function meta(): Promise<Meta> {
    const found = await read(metaKey(PARTITION), decodeMeta)
    if (found === null) throw new Error("there is no meta")
    return found
  }

  async function read<Value>(key: string, decode: (bytes: Buffer) => Value): Promise<Value | null> {
    const bytes = await redis.getBuffer(key)
    return bytes === null ? null : decode(bytes)
  }

  async function writeMeta(change: Partial<Meta>): Promise<void> {
    await redis.set(metaKey(PARTITION), encodeMeta({ ...(await meta()), ...change }))
  }

  async function entries(after = { entryNumber: 0, entryId: GENESIS }): Promise<Entry[]> {
    const all: Entry[] = []
    let { entryNumber, entryId } = after
    for (;;) {
      const place = { partition: PARTITION, generation: GENERATION, entryNumber, entryId }
      const page = await readEntries(oneNode(redis), place)
      all.push(...page)
      const last = page.at(-1)
      if (last === undefined) return all
      entryNumber = last.number
      entryId = last.id
    }
  }

  async function stop(): Promise<void> {
    redis.disconnect()
    signal(server.pid, "SIGKILL")
    await server.exited
    rmSync(dir, { recursive: true, force: true })
  }
}

const NOTHING = { outcomes: [], bytes: [], reply: Buffer.alloc(0) }
const NEW_COUNTER: Counter = {
  ...{ version: 1, day: 0, dayFen: 0, month: 0, monthFen: 0, totalFen: 0 },
  ...{ tokens: 0, tokensAtMs: 0 },
}

async function openPartition(redis: Redis): Promise<void> {
  const stream = streamKey(PARTITION, GENERATION)
  await redis.xadd(stream, `${GENERATION}-0`, "id", GENESIS)
  const [meta, claim] = [metaKey(PARTITION), claimKey(PARTITION)]
  const built = builtKey(PARTITION, GENERATION)
  await redis.callBuffer("EVAL", FENCE_PARTITION_TEXT, 2, meta, claim, GENERATION)
  const args = [meta, stream, claim, built, GENERATION, 1, 0, GENESIS, 0, 1, 0]
  const { status } = readReply(await redis.callBuffer("EVAL", OPEN_PARTITION_TEXT, 4, ...args))
  if (status !== "opened") throw new Error(`the partition was not opened: ${status}`)
}

function slotKeys(slot: string): string[] {
  return [
    metaKey(PARTITION),
    streamKey(PARTITION, GENERATION),
    memoKey(PARTITION, GENERATION, slot),
  ]
}

function itemKeys({ accounts, others }: Packed): string[] {
  const prefix = keyPrefix(PARTITION, GENERATION)
  const names = accounts.map((account) => `${prefix}a:${account}`)
  for (const other of others) names.push(prefix + other)
  return others.length > 0 ? [...names, holdsKey(PARTITION, GENERATION)] : names
}

export function keyOf(accountId: AccountId): string {
  return accountKey(PARTITION, GENERATION, accountId)
}

export function holdKeyOf(holdId: string): string {
  return `${keyPrefix(PARTITION, GENERATION)}h:${parseHoldId(holdId)?.name}`
}

export function resultKeyOf(digest: string): string {
  return `${keyPrefix(PARTITION, GENERATION)}r:${digest}`
}

export function encodeState(state: Partial<NewState>): Buffer {
  const { balanceFen = 0, heldFen = 0, seq = 0, instruction = 1, authVersion = 1 } = state
  const bytes = Buffer.alloc(33)
  writeInteger(bytes, balanceFen, 0)
  writeInteger(bytes, heldFen, 8)
  writeInteger(bytes, seq, 16)
  bytes.writeUInt32LE(instruction, 24)
  bytes.writeUInt32LE(authVersion, 28)
  bytes.writeUInt8(STATUS_BYTES[state.status ?? "open"], 32)
  return Buffer.concat([bytes, Buffer.from(state.rest ?? "")])
}

export function encodeMeta(meta: Meta): Buffer {
  const bytes = Buffer.alloc(58)
  bytes.writeUInt32LE(meta.generation, 0)
  bytes.writeUInt16LE(meta.partitions, 4)
  writeInteger(bytes, meta.clockMs, 6)
  writeInteger(bytes, meta.written, 14)
  writeInteger(bytes, meta.flushed, 22)
  writeInteger(bytes, meta.entryNumber, 30)
  bytes.write(meta.entryId, 38, "latin1")
  writeInteger(bytes, meta.entryFlushed, 46)
  bytes.writeUInt32LE(meta.services, 54)
  return bytes
}
