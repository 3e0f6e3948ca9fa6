import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Sql } from "../../db/connection.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { type Anchor, anchorsDirOf, createAnchors, readAnchors } from "../../src/flusher/anchors.ts"
import { chainKeyOf } from "../../src/flusher/chain-keys.ts"
import type { AccountId } from "../../src/ids.ts"
import { verifyChain, verifyChains } from "../../src/reconcile/chain.ts"
import { chargeMany } from "../support/flushing.ts"
import { firstHead, headAfter, type LeafOf, leafOf } from "../support/leaves.ts"
import { startLedger, type TestLedger } from "../support/ledger.ts"
import { startStores } from "../support/stores.ts"

setDefaultTimeout(30_000)

/**
 * Somebody with all of Postgres in his hands changes what was written, as carefully as he can. Positions
 * 1 and 2 credit the two accounts; then each pays in turn, up to 14. Anchors stand at 6 and at 10.
 */
let t: TestLedger
let accounts: AccountId[]
let anchors: Anchor[]
beforeAll(async () => {
  t = await startLedger(await startStores())
  const { sql, dataDir } = t.stores
  accounts = [await t.openAccount({ balanceFen: 100 }), await t.openAccount({ balanceFen: 100 })]
  const dir = anchorsDirOf(dataDir)
  const { append } = createAnchors({ dir, readEnds: () => readWatermarks(sql) })
  for (const anchored of [true, true, false]) {
    for (const accountId of [...accounts, ...accounts]) await chargeMany(t, accountId, 1)
    await t.books()
    if (anchored) await append()
  }
  anchors = await readAnchors(dir, 0)
  expect(anchors.map(({ records }) => records)).toEqual([6, 10])
})
afterAll(async () => {
  await t.stop()
  await t.stores.stop()
})

type Damage = (sql: Sql) => PromiseLike<unknown>

/** What is found of damage done inside a transaction, which is rolled back. */
async function findingsOf(damage: Damage, { withAnchors = true } = {}): Promise<string[]> {
  const { sql: pool, dataDir } = t.stores
  const sql = await pool.reserve()
  try {
    await sql`begin`
    await sql`set local session_replication_role = replica`
    await damage(sql)
    const anchorsDir = withAnchors ? anchorsDirOf(dataDir) : null
    return (await verifyChain({ sql, anchorsDir }, { partition: 0 })).findings
  } finally {
    await sql`rollback`
    sql.release()
  }
}

function changed(from: number, to: number): RegExp {
  return new RegExp(
    `^partition 0: positions ${from} to ${to} are not what was written: the head there is not that of the anchor of 20\\S+Z$`,
  )
}

const CHANGED_AT_END =
  /^partition 0: positions 11 to 14 are not what was written, or the head beside the watermark is not: it is not theirs$/
const TRUNCATED =
  /^partition 0: the anchor of 20\S+Z counts 10 records, and the watermark (\d+): the newest ones are gone$/

test("a chain in order has no finding, with its anchors and without them", async () => {
  const { sql, dataDir } = t.stores
  for (const anchorsDir of [null, anchorsDirOf(dataDir)]) {
    const compared = anchorsDir === null ? 0 : 2
    expect(await verifyChains({ sql, anchorsDir })).toEqual([
      { partition: 0, records: 14, anchors: compared, findings: [] },
    ])
  }
})

/** A fen more is taken at one position, and everything else is made to fit. */
async function takeMore(sql: Sql, position: number): Promise<void> {
  const [record] = await sql<{ id: string; seq: string }[]>`
    update change_records set amount_fen = amount_fen + 1, balance_after_fen = balance_after_fen - 1
    where position = ${position} returning account_id as id, seq
  `
  const { id = "", seq = "0" } = record ?? {}
  await sql`
    update change_records
    set balance_before_fen = balance_before_fen - 1, balance_after_fen = balance_after_fen - 1
    where account_id = ${id} and seq > ${seq}
  `
  await sql`update account_snapshots set balance_fen = balance_fen - 1 where account_id = ${id}`
  await sql`update usage_hourly set amount_fen = amount_fen + 1 where account_id = ${id}`
  await sql`update counter_accounts set credit_fen = credit_fen + 1 where kind = 'charge'`
}

/** Nothing is left of what came after a position, and the watermark says so too. */
async function truncate(sql: Sql, records: number, chainHead: string): Promise<void> {
  await sql`delete from change_records where position > ${records}`
  await sql`update partitions set records = ${records}, chain_head = ${chainHead}`
}

type Case = [name: string, damage: Damage, findings: RegExp[]]

const cases: Case[] = [
  [
    "an amount was changed, and all balances and sums with it",
    (sql) => takeMore(sql, 7),
    [changed(7, 10), CHANGED_AT_END],
  ],
  [
    "an amount was changed in the newest record of an account",
    (sql) => takeMore(sql, 13),
    [CHANGED_AT_END],
  ],
  [
    "a description was changed",
    (sql) => sql`update change_records set description = 'API call user.logout' where position = 3`,
    [changed(1, 6)],
  ],
  [
    "a record was made later than it was",
    (sql) => sql`update change_records set at = at + interval '1 ms' where position = 8`,
    [changed(7, 10)],
  ],
  [
    "two records were swapped",
    (sql) => sql`
      update change_records set position = case position when 9 then 10 else 9 end
      where position in (9, 10)
    `,
    [changed(7, 10)],
  ],
  [
    "a record in the middle was deleted",
    (sql) => sql`delete from change_records where position = 5`,
    [/^partition 0: position 5 is missing$/],
  ],
  [
    "several records were deleted, and one was changed after the next anchor",
    (sql) => sql`
      with gone as (delete from change_records where position in (3, 4, 6))
      update change_records set request_id = 'req_other' where position = 10
    `,
    [
      /^partition 0: positions 3 to 4 are missing$/,
      /^partition 0: position 6 is missing$/,
      changed(7, 10),
    ],
  ],
  [
    "a record was deleted, and those after it moved up",
    async (sql) => {
      await sql`delete from change_records where position = 5`
      await sql`update change_records set position = position - 1 where position > 5`
      await sql`update partitions set records = 13`
    },
    [changed(1, 6), changed(7, 10), /positions 11 to 13 are not what was written, or/],
  ],
  [
    "a record is there twice",
    (sql) => sql`
      insert into change_records select account_id, seq, type, kind, amount_fen, balance_before_fen, balance_after_fen,
        description, at + interval '1 ms', interface, quantity, key_id, source_id, request_id, partition, position, slot, batch
      from change_records where position = 5
    `,
    [/^partition 0: position 5 is there twice$/],
  ],
  [
    "a record stands beyond the watermark",
    (sql) => sql`update change_records set position = position + 5 where position > 12`,
    [
      /^partition 0: positions 13 to 14 are missing$/,
      /^partition 0: 2 records are above position 14, the watermark$/,
    ],
  ],
  [
    "the newest record was deleted",
    (sql) => sql`delete from change_records where position = 14`,
    [/^partition 0: position 14 is missing$/],
  ],
  [
    "the newest record was deleted and the watermark moved back",
    async (sql) => {
      await sql`delete from change_records where position = 14`
      await sql`update partitions set records = 13`
    },
    [/positions 11 to 13 are not what was written, or the head beside the watermark is not/],
  ],
  [
    "the head was rewritten",
    (sql) => sql`update partitions set chain_head = ${"ab".repeat(32)}`,
    [CHANGED_AT_END],
  ],
  [
    "the head was removed, as if the chain had no record",
    (sql) => sql`update partitions set chain_head = ''`,
    [CHANGED_AT_END],
  ],
  [
    "the chain key of an account was replaced",
    (sql) => sql`
      update account_snapshots set chain_key = ${"0".repeat(32)} where account_id = ${accounts[0] ?? ""}
    `,
    [changed(1, 6), changed(7, 10), CHANGED_AT_END],
  ],
]

describe("it finds that", () => {
  for (const [name, damage, findings] of cases) {
    test(name, async () => {
      const found = await findingsOf(damage)
      expect(found).toHaveLength(findings.length)
      for (const finding of findings) {
        expect(found).toContainEqual(expect.stringMatching(finding))
      }
    })
  }

  test("all records are gone", async () => {
    const found = await findingsOf((sql) => truncate(sql, 0, ""))
    expect(found).toEqual([expect.stringMatching(TRUNCATED)])
  })
})

describe("what was done to the chain with the chain's own keys is seen by the anchors alone:", () => {
  const both = async (damage: Damage) => [
    await findingsOf(damage, { withAnchors: false }),
    await findingsOf(damage),
  ]

  test("the newest records were deleted, and the head was recomputed", async () => {
    const [first] = anchors
    const damage: Damage = (sql) => truncate(sql, 6, first?.head ?? "")
    expect(await both(damage)).toEqual([[], [expect.stringMatching(TRUNCATED)]])
  })

  test("a record was changed, and all heads after it were recomputed", async () => {
    const damage: Damage = async (sql) => {
      await takeMore(sql, 7)
      await sql`update partitions set chain_head = ${await recomputedHead(sql)}`
    }
    const [alone, withAnchors] = await both(damage)
    expect(alone).toEqual([])
    expect(withAnchors).toEqual([
      expect.stringMatching(changed(7, 10)),
      expect.stringMatching(CHANGED_AT_END),
    ])
  })
})

describe("a record that was erased", () => {
  const erase = async (sql: Sql, leaf: string) => {
    await sql`delete from change_records where position = 5`
    await sql`insert into erased_leaves (partition, position, leaf) values (0, 5, ${leaf})`
  }

  test("and has left its leaf is no finding", async () => {
    const findings = await findingsOf(async (sql) => {
      const leaf = (await leavesOf(sql))[4]
      await erase(sql, leaf?.toString("hex") ?? "")
    })
    expect(findings).toEqual([])
  })

  test("and has left another one is found", async () => {
    const findings = await findingsOf((sql) => erase(sql, "ab".repeat(32)))
    expect(findings).toEqual([expect.stringMatching(changed(1, 6))])
  })
})

test("a chain that began with a later record covers those from there on", async () => {
  const { head = "" } = anchors[1] ?? {}
  const later = async (sql: Sql) => {
    await sql`update partitions set chain_start = 14, chain_head = ''`
    await sql`delete from change_records where position = 3`
  }
  expect(await findingsOf(later)).toEqual([])
  const before: Damage = (sql) => sql`update partitions set chain_start = 14, chain_head = ${head}`
  expect(await findingsOf(before)).toEqual([
    "partition 0: the head beside the watermark is not that of position 14",
  ])
})

test("of very many findings it tells the first ones, and how many more there are", async () => {
  const findings = await findingsOf(async (sql) => {
    await sql`delete from change_records where position > 2`
    await sql`update change_records set position = position * 100`
    await sql`
      insert into change_records select account_id, seq, type, kind, amount_fen, balance_before_fen, balance_after_fen,
        description, at + n * interval '1 ms', interface, quantity, key_id, source_id, request_id, partition,
        position + 2 * n, slot, batch
      from change_records, generate_series(1, 30) n
    `
    await sql`update partitions set records = 300`
  })
  expect(findings).toHaveLength(21)
  expect(findings.at(-1)).toMatch(/and \d+ more of this kind$/)
})

test("a walk of many pages is one of each record", async () => {
  const findings = await findingsOf(async (sql) => {
    await sql`update partitions set records = 12000`
    await sql`update change_records set position = 11986 + position where position > 13`
  })
  expect(findings).toEqual(["partition 0: positions 14 to 11999 are missing"])
})

type Stored = LeafOf["record"] & { position: number; chainKey: string } & { at: Date } & Pick<
    LeafOf["written"],
    "slot" | "batch"
  >

async function recomputedHead(sql: Sql): Promise<string> {
  return (await leavesOf(sql)).reduce(headAfter, firstHead(0, 0)).toString("hex")
}

/** The leaves of all records, by the description of the chain alone. */
async function leavesOf(sql: Sql): Promise<Buffer[]> {
  const rows = await sql<Stored[]>`
    select r.position::float8 as position, r.account_id as "accountId", r.seq::float8 as seq, r.type, r.kind,
      r.amount_fen::float8 as "amountFen", r.balance_before_fen::float8 as "balanceBeforeFen",
      r.balance_after_fen::float8 as "balanceAfterFen", r.description, r.interface, r.quantity,
      r.key_id as "keyId", r.source_id as "sourceId", r.request_id as "requestId",
      r.at, r.slot, r.batch::float8 as batch, s.chain_key as "chainKey"
    from change_records r join account_snapshots s using (account_id) order by r.position
  `
  return rows.map(({ position, chainKey, at, slot, batch, ...record }) =>
    leafOf({
      ...{ partition: 0, position, record, chainKey: chainKeyOf(record.accountId, chainKey) },
      written: { atMs: at.getTime(), slot, batch },
    }),
  )
}
