import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { AccountId } from "../../src/ids.ts"
import { streamKey } from "../../src/ledger/keys.ts"
import { eventually } from "../support/eventually.ts"
import { alarmsOf, chargeMany, expectAllRecords, progress, upTo } from "../support/flushing.ts"
import { startLedger, type TestLedger } from "../support/ledger.ts"
import { startStores } from "../support/stores.ts"

setDefaultTimeout(30_000)

/**
 * A stream or books that are not what they must be. The partition halts and says why; nothing is
 * skipped, and charges go on. Told to go on, it halts again while the cause is there; once that is
 * repaired, and it is told so, everything is there, in order. Each case has a partition of its own.
 */
type Place = { partition: number; accountId: AccountId }
type Case = {
  name: string
  /** What `stopped_because` says. */
  reason: RegExp
  damage(place: Place): Promise<unknown>
  repair(place: Place): Promise<unknown>
}

let t: TestLedger
let flusher: { stop(): Promise<void> }
const places: Place[] = []

type StreamEntry = [id: Buffer, fields: Buffer[]]

async function streamOf({ partition }: Place): Promise<StreamEntry[]> {
  return await t.redis.xrangeBuffer(streamKey(partition, 1), "-", "+")
}

/** Entries keep their numbers: the stream is written anew as a whole. */
async function writeStream({ partition }: Place, entries: readonly StreamEntry[]): Promise<void> {
  const stream = streamKey(partition, 1)
  const pipeline = t.redis.multi().del(stream)
  for (const [id, fields] of entries) pipeline.xadd(stream, id.toString(), ...fields)
  await pipeline.exec()
}

/** Cases that change the stream keep what it was, and put it back, with what has come since. */
function streamCase(given: {
  name: string
  reason: RegExp
  change(entries: StreamEntry[]): StreamEntry[]
}): Case {
  let kept: StreamEntry[] = []
  return {
    ...given,
    async damage(place) {
      kept = await streamOf(place)
      await writeStream(place, given.change(kept))
    },
    async repair(place) {
      const since = (await streamOf(place)).filter(([id]) => numberOf(id) >= kept.length)
      await writeStream(place, [...kept, ...since])
    },
  }
}

function numberOf(id: Buffer): number {
  return Number(id.toString().split("-")[1])
}

/** Entry 0 is the genesis, 1 the opening, 2 to 6 charges. */
const THIRD = 3

function changeThird(change: (entry: StreamEntry) => StreamEntry) {
  return (entries: StreamEntry[]) =>
    entries.map((entry, i) => (i === THIRD ? change(entry) : entry))
}

function withField(name: string, change: (value: Buffer) => Buffer) {
  return ([id, fields]: StreamEntry): StreamEntry => {
    const at = fields.findIndex((field, i) => i % 2 === 0 && field.toString() === name) + 1
    return [id, fields.map((field, i) => (i === at ? change(field) : field))]
  }
}

function withByte(at: number, value: number) {
  return withField("records", (records) => Buffer.from(records).fill(value, at, at + 1))
}

/** Cases that change the account's snapshot. */
function snapshotCase(name: string, column: "last_seq" | "balance_fen" | "account_id"): Case {
  const move = ({ accountId }: Place, to: string) =>
    t.stores.sql.unsafe(
      `update account_snapshots set ${column} = ${to} where account_id in ('${accountId}', 'away ${accountId}')`,
    )
  const [there, back] =
    column === "account_id"
      ? ["'away ' || account_id", "substr(account_id, 6)"]
      : [`${column} + 1`, `${column} - 1`]
  return {
    name,
    reason: /each account continues from its last record, balance and instruction/,
    damage: (place) => move(place, there),
    repair: (place) => move(place, back),
  }
}

const cases: Case[] = [
  streamCase({
    name: "an entry is missing",
    reason: /^entry 4 of generation 1 does not follow entry 2$/,
    change: (entries) => entries.filter((_, i) => i !== THIRD),
  }),
  streamCase({
    name: "an entry names another predecessor",
    reason: /^entry 3 of generation 1 does not follow entry 2$/,
    change: changeThird(withField("prev", () => Buffer.from("somebody"))),
  }),
  streamCase({
    name: "an entry has no records",
    reason: /^entry 1-3 cannot be read \(entry 1-3 has no records\)$/,
    change: changeThird(([id, fields]) => [id, fields.slice(0, -2)]),
  }),
  streamCase({
    name: "the records of an entry are cut off",
    reason: /^entry 1-3 cannot be read \(.*\)$/,
    change: changeThird(withField("records", (records) => records.subarray(0, 50))),
  }),
  streamCase({
    name: "a record has a kind that nobody writes",
    reason: /^entry 1-3 cannot be read \(broken invariant: .* a wrong record kind 99\)$/,
    change: changeThird(withByte(16, 99)),
  }),
  streamCase({
    name: "a record's number jumps",
    reason: /^acct_\w{16}: record 99 does not continue record \d+$/,
    change: changeThird(withByte(17, 99)),
  }),
  streamCase({
    name: "a record's amount is not what the balance lost",
    reason: /^acct_\w{16}: record (\d+) does not continue record \d+$/,
    change: changeThird(withByte(25, 77)),
  }),
  snapshotCase("the account is missing in Postgres", "account_id"),
  snapshotCase("Postgres has a later record of the account already", "last_seq"),
  snapshotCase("Postgres has another balance of the account", "balance_fen"),
  {
    name: "a record of that number and time is in Postgres already",
    reason: /change_records\w*_pkey/,
    async damage(place) {
      const [, fields = []] = (await streamOf(place))[THIRD] ?? []
      const at = fields[fields.findIndex((field) => field.toString() === "at") + 1]
      await t.stores.sql`
        insert into change_records (account_id, seq, type, kind, amount_fen, balance_before_fen,
          balance_after_fen, description, at, partition, position)
        select account_id, last_seq + 2, 2, 'charge', 1, 2, 1, 'of nobody',
          timestamptz 'epoch' + ${String(at)}::bigint * interval '1 millisecond', partition, 9999
        from account_snapshots where account_id = ${place.accountId}
      `
    },
    repair: ({ accountId }) => t.stores.sql`
      delete from change_records where account_id = ${accountId} and position = 9999
    `,
  },
  {
    name: "an account is opened that was opened before",
    reason: /account_snapshots_pkey/,
    async damage({ partition }) {
      const later = await t.openAccount({ balanceFen: 50, partition })
      await t.stores.sql`
        insert into account_snapshots values (${later}, ${partition}, 0, 0, 1, 1, 'open')
      `
    },
    repair: ({ partition, accountId }) => t.stores.sql`
      delete from account_snapshots where partition = ${partition} and account_id <> ${accountId}
    `,
  },
]

beforeAll(async () => {
  t = await startLedger(await startStores({ partitions: cases.length }), { flusher: false })
  for (const partition of cases.keys()) {
    places.push({ partition, accountId: await t.openAccount({ balanceFen: 1_000, partition }) })
  }
  await (await t.startFlusher()).stop()
  for (const { accountId } of places) for (const _ of upTo(5)) await chargeMany(t, accountId, 1)
  for (const [i, { damage }] of cases.entries()) await damage(placeOf(i))
  flusher = await t.startFlusher()
}, 60_000)

afterAll(async () => {
  await flusher.stop()
  await t.stop()
  await t.stores.stop()
})

describe("the flusher halts and skips nothing, and goes on when it is repaired and told to:", () => {
  for (const [i, { name, reason, repair }] of cases.entries()) {
    // Each waits for its partition's flusher to look again: they may as well wait together.
    test.concurrent(name, async () => {
      const place = placeOf(i)
      const stop = await eventually(async () => (await stopReason(place)) ?? false)
      expect(stop).toMatch(reason)
      await chargeMany(t, place.accountId, 3)
      expect(await progress(t, place.partition)).toMatchObject({ flushed: 1 })
      expect(haltsOf(place)).toHaveLength(1)

      await resume(place)
      expect(await eventually(async () => (await stopReason(place)) ?? false)).toEqual(stop)
      expect(haltsOf(place)).toHaveLength(2)
      expect(await progress(t, place.partition)).toMatchObject({ flushed: 1 })

      await repair(place)
      await resume(place)
      await eventually(() => expectAllRecords(t, place.accountId, { least: 9 }))
    })
  }
})

test("a partition that was stopped stays so across a restart, until it is told to go on", async () => {
  const [place] = places
  if (place === undefined) throw new Error("no partition 0")
  const { accountId, partition } = place
  await flusher.stop()
  const reason = "somebody wants to look at it"
  await t.stores
    .sql`update partitions set stopped_because = ${reason} where partition = ${partition}`
  const before = await progress(t, partition)
  flusher = await t.startFlusher()
  await eventually(() => haltsOf(place).some((line) => line.endsWith(reason)))
  await chargeMany(t, accountId, 3)
  // The other partitions are flushed meanwhile, by the same process.
  const other = placeOf(1)
  const { written } = await progress(t, other.partition)
  await chargeMany(t, other.accountId, 3)
  await eventually(async () => (await progress(t, other.partition)).flushed > written)
  expect(await progress(t, partition)).toMatchObject({ flushed: before.flushed })
  expect(await stopReason(place)).toBe(reason)

  await resume(place)
  await eventually(() => expectAllRecords(t, accountId, { least: 12 }))
})

test("afterwards the books of all partitions are in order", async () => {
  await t.books()
})

function placeOf(partition: number): Place {
  const place = places[partition]
  if (place === undefined) throw new Error(`no partition ${partition}`)
  return place
}

function haltsOf({ partition }: Place): string[] {
  return alarmsOf(t).filter((line) => line.includes(`partition ${partition}: flushing is halted`))
}

/** As an operator tells a partition to go on. */
async function resume({ partition }: Place): Promise<void> {
  await t.stores.sql`update partitions set stopped_because = null where partition = ${partition}`
}

async function stopReason({ partition }: Place): Promise<string | null> {
  const [row] = await t.stores.sql<{ reason: string | null }[]>`
    select stopped_because as reason from partitions where partition = ${partition}
  `
  return row?.reason ?? null
}
