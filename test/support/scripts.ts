import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Redis } from "ioredis"
import { startRedis } from "../../src/embedded/redis.ts"
import { type Entry, readEntries } from "../../src/flusher/read-entries.ts"
import { type AccountId, newAccountId, randomChars } from "../../src/ids.ts"
import { createBatch } from "../../src/ledger/batch.ts"
import type { ChargeOutcome } from "../../src/ledger/items.ts"
import { accountKey, memoKey, metaKey, streamKey } from "../../src/ledger/keys.ts"
import {
  type AccountState,
  type AccountStatus,
  decodeAccount,
  decodeMeta,
  type Meta,
  writeInteger,
} from "../../src/ledger/records.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { readReply, runScript, type ScriptReply } from "../../src/ledger/run-script.ts"
import {
  OPEN_PARTITION_TEXT,
  SCRIPT_NAMES,
  type ScriptHashes,
  scriptHashes,
  scriptText,
} from "../../src/ledger/scripts.ts"
import { fen } from "../../src/money.ts"
import { chargeOf, detailsOf } from "./details.ts"
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
  /** Writes a state as it is, and answers the account's id. */
  put(state?: Partial<NewState>): Promise<AccountId>
  charge(batch: BatchOf): Promise<Charged>
  revoke(batch: BatchOf): Promise<ScriptReply["status"]>
  state(accountId: AccountId): Promise<AccountState>
  stateBytes(accountId: AccountId): Promise<Buffer | null>
  meta(): Promise<Meta>
  writeMeta(change: Partial<Meta>): Promise<void>
  /** All entries, through the flusher's own eyes: their chain is checked. */
  entries(): Promise<Entry[]>
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

export type ItemOf = {
  accountId: AccountId
  amountFen?: number
  authVersion?: number
  details?: string
}
export type BatchOf = {
  slot: string
  batch: number
  items: ItemOf[]
  entryId?: string
  generation?: number
  partitions?: number
  unflushedMax?: number
}
export type Charged = { status: ScriptReply["status"]; outcomes: ChargeOutcome[]; reply: Buffer }

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
    ...{ redis, hashes, run, openSlot, put, charge, revoke, state, meta, writeMeta },
    stateBytes: (accountId) => redis.getBuffer(keyOf(accountId)),
    entries: () =>
      readEntries(redis, {
        partition: PARTITION,
        generation: GENERATION,
        entryNumber: 0,
        entryId: GENESIS,
      }),
    stop,
  }

  async function openSlot(): Promise<string> {
    const slot = randomChars(12)
    const keys = [metaKey(PARTITION), memoKey(PARTITION, GENERATION, slot)]
    const { status } = await run("openSlot", { keys, args: ["1", "1"] })
    if (status !== "opened") throw new Error(`the slot was not opened: ${status}`)
    return slot
  }

  async function put(state: Partial<NewState> = {}): Promise<AccountId> {
    const accountId = newAccountId()
    await redis.set(keyOf(accountId), encodeState(state))
    return accountId
  }

  async function charge(call: BatchOf): Promise<Charged> {
    const outcomes: ChargeOutcome[] = []
    const { batch, keys, accounts } = pack(call, outcomes)
    const { generation = GENERATION, partitions = 1, unflushedMax = 1_000_000 } = call
    const reply = await run("decide", {
      keys,
      args: [
        ...[
          String(generation),
          String(partitions),
          String(unflushedMax),
          call.slot,
          String(call.batch),
        ],
        ...[call.entryId ?? randomChars(8), batch.items(), String(accounts), "86400000"],
      ],
    })
    if (reply.status !== "done") return { status: reply.status, outcomes, reply: Buffer.alloc(0) }
    batch.answer(reply.body, generation)
    return { status: reply.status, outcomes, reply: reply.body }
  }

  async function revoke(call: BatchOf): Promise<ScriptReply["status"]> {
    const { batch, keys, accounts } = pack(call, [])
    keys.splice(3, 0, "{p0}:1:reversed")
    const { generation = GENERATION, partitions = 1 } = call
    const reply = await run("revoke", {
      keys,
      args: [
        ...[String(generation), String(partitions), call.slot, String(call.batch)],
        ...[randomChars(8), batch.items(), String(accounts)],
      ],
    })
    return reply.status
  }

  async function state(accountId: AccountId): Promise<AccountState> {
    const bytes = await redis.getBuffer(keyOf(accountId))
    if (bytes === null) throw new Error(`${accountId} is not there`)
    return decodeAccount(bytes)
  }

  async function meta(): Promise<Meta> {
    const bytes = await redis.getBuffer(metaKey(PARTITION))
    if (bytes === null) throw new Error("there is no meta")
    return decodeMeta(bytes)
  }

  async function writeMeta(change: Partial<Meta>): Promise<void> {
    await redis.set(metaKey(PARTITION), encodeMeta({ ...(await meta()), ...change }))
  }

  async function stop(): Promise<void> {
    redis.disconnect()
    signal(server.pid, "SIGKILL")
    await server.exited
    rmSync(dir, { recursive: true, force: true })
  }
}

async function openPartition(redis: Redis): Promise<void> {
  const stream = streamKey(PARTITION, GENERATION)
  await redis.xadd(stream, `${GENERATION}-0`, "id", GENESIS)
  const args = [metaKey(PARTITION), stream, GENERATION, 1, 0, GENESIS, 0, 1]
  const { status } = readReply(await redis.callBuffer("EVAL", OPEN_PARTITION_TEXT, 2, ...args))
  if (status !== "opened") throw new Error(`the partition was not opened: ${status}`)
}

function pack({ slot, items }: BatchOf, outcomes: ChargeOutcome[]) {
  const batch = createBatch()
  for (const { accountId, amountFen = 1, authVersion = 1, details = detailsOf() } of items) {
    const item = chargeOf({ accountId, amountFen: fen(amountFen), authVersion, details })
    batch.addCharge(item, (outcome) => outcomes.push(outcome))
  }
  const head = [
    metaKey(PARTITION),
    streamKey(PARTITION, GENERATION),
    memoKey(PARTITION, GENERATION, slot),
  ]
  const accounts = [...batch.accounts()].map((account) => `{p0}:1:a:${account}`)
  return { batch, keys: [...head, ...accounts], accounts: accounts.length }
}

export function keyOf(accountId: AccountId): string {
  return accountKey(PARTITION, GENERATION, accountId)
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
