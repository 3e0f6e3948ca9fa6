import type { Redis } from "ioredis"
import { type Entry, readEntries } from "../../src/flusher/read-entries.ts"
import { type AccountId, parseHoldId, partitionOf } from "../../src/ids.ts"
import { oneNode } from "../../src/ledger/cluster.ts"
import { accountKey, holdsKey, keyPrefix, metaKey, streamKey } from "../../src/ledger/keys.ts"
import type { LedgerRecord } from "../../src/ledger/records.ts"
import { type AccountState, decodeAccount, decodeMeta } from "../../src/ledger/states.ts"
import { decodeHold, decodeResult, type HoldState, type Result } from "../support/packed.ts"

/** What stands in Redis, read past the gateways. */

/** What is looked for: holds by their names, results by their digests. */
export type Wanted = {
  accountIds: readonly AccountId[]
  holds: readonly string[]
  results: readonly { digest: string; accountId: AccountId }[]
}
export type Found = {
  accounts: ReadonlyMap<AccountId, AccountState>
  holds: ReadonlyMap<string, HoldState | null>
  results: ReadonlyMap<string, { accountId: AccountId; result: Result | null }>
  /** The change records since the last look, in their order. */
  records: readonly { record: LedgerRecord; atMs: number }[]
}

type Place = { partition: number; generation: number; entryNumber: number; entryId: string }

/** Follows the streams, so that each look tells what is new in them. */
export type Eye = {
  /** All of one moment. */
  look(wanted: Wanted): Promise<Found>
  /** Names of the open holds of these accounts. */
  listHolds(accountIds: readonly AccountId[]): Promise<string[]>
}

export async function openEye(redis: Redis, partitions: number): Promise<Eye> {
  const numbers = Array.from({ length: partitions }, (_, partition) => partition)
  const metas = await readMetas()
  const places = await Promise.all(
    metas.map(async (meta, partition): Promise<Place> => {
      const { generation, entryNumber, entryId } = meta
      return { partition, generation, entryNumber, entryId }
    }),
  )
  return { look, listHolds }

  async function readMetas() {
    return (await redis.mgetBuffer(...numbers.map(metaKey))).map(metaOf)
  }

  async function look({ accountIds, holds, results }: Wanted): Promise<Found> {
    // A new generation is noticed first: it is in the names of what is looked for.
    for (const [partition, meta] of (await readMetas()).entries()) {
      if (placeOf(partition).generation !== meta.generation) {
        places[partition] = await beginningOf(partition, meta.generation)
      }
    }
    const found = await redis.mgetBuffer(
      ...numbers.map(metaKey),
      ...accountIds.map(keyOfAccount),
      ...holds.map((name) => `${prefixOf(accountOfHold(name))}h:${name}`),
      ...results.map(({ digest, accountId }) => `${prefixOf(accountId)}r:${digest}`),
    )
    const metas = found.splice(0, partitions).map(metaOf)
    const states = found.splice(0, accountIds.length)
    const held = found.splice(0, holds.length)
    const records = await Promise.all(
      metas.map(({ entryNumber }, partition) => readUpTo(partition, entryNumber)),
    )
    return {
      accounts: new Map(accountIds.map((id, i) => [id, decodeAccount(there(states[i], id))])),
      holds: new Map(holds.map((name, i) => [name, decodeIf(held[i], decodeHold)])),
      results: new Map(
        results.map(({ digest, accountId }, i) => {
          return [digest, { accountId, result: decodeIf(found[i], decodeResult) }]
        }),
      ),
      records: records.flat(),
    }
  }

  async function readUpTo(partition: number, entryNumber: number) {
    const records: { record: LedgerRecord; atMs: number }[] = []
    for (;;) {
      const place = placeOf(partition)
      const page = (await readEntries(oneNode(redis), place)).filter(
        ({ number }) => number <= entryNumber,
      )
      const last = page.at(-1)
      if (last === undefined) return records
      records.push(...page.flatMap(recordsOf))
      places[partition] = { ...place, entryNumber: last.number, entryId: last.id }
    }
  }

  async function beginningOf(partition: number, generation: number): Promise<Place> {
    const first = `${generation}-0`
    const [entry] = await redis.xrange(streamKey(partition, generation), first, first)
    const fields = entry?.[1] ?? []
    const entryId = fields[fields.indexOf("id") + 1] ?? ""
    return { partition, generation, entryNumber: 0, entryId }
  }

  async function listHolds(accountIds: readonly AccountId[]): Promise<string[]> {
    const wanted = new Set(accountIds.map((id) => id.slice("acct_".length)))
    const listed = await Promise.all(
      places.map(({ partition, generation }) =>
        redis.zrange(holdsKey(partition, generation), "0", "-1"),
      ),
    )
    return listed.flat().filter((name) => wanted.has(name.slice(0, 16)))
  }

  function placeOf(partition: number): Place {
    return there(places[partition], `partition ${partition}`)
  }

  function prefixOf(accountId: AccountId): string {
    const { partition, generation } = placeOf(partitionOf(accountId, partitions))
    return keyPrefix(partition, generation)
  }

  function keyOfAccount(accountId: AccountId): string {
    const { partition, generation } = placeOf(partitionOf(accountId, partitions))
    return accountKey(partition, generation, accountId)
  }
}

function recordsOf({ records, atMs }: Entry) {
  return records.map((record) => ({ record, atMs }))
}

function accountOfHold(name: string): AccountId {
  const hold = parseHoldId(`hold_${name}.1`)
  return there(hold, name).accountId
}

function metaOf(bytes: Buffer | null) {
  return decodeMeta(there(bytes, "meta"))
}

function decodeIf<Value>(
  bytes: Buffer | null | undefined,
  decode: (bytes: Buffer) => Value,
): Value | null {
  return bytes ? decode(bytes) : null
}

function there<Value>(value: Value | null | undefined, name: string): Value {
  if (value === null || value === undefined) throw new Error(`Redis has no ${name}`)
  return value
}
