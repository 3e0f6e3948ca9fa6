import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Sql } from "../../db/connection.ts"
import { type AccountId, newId } from "../../src/ids.ts"
import { holdsKey, keyPrefix } from "../../src/ledger/keys.ts"
import { fen } from "../../src/money.ts"
import { type Audit, auditBooks } from "../../src/reconcile/audit.ts"
import { chargeOf } from "../support/details.ts"
import { startLedger, type TestLedger } from "../support/ledger.ts"
import { keyOf } from "../support/scripts.ts"
import { startStores } from "../support/stores.ts"

setDefaultTimeout(30_000)

/** The auditor, audited: whatever is wrong in the books it says so, and it says nothing of others. */
let t: TestLedger
let accounts: AccountId[]
beforeAll(async () => {
  t = await startLedger(await startStores())
  accounts = await Promise.all([100, 100, 0].map((balanceFen) => t.openAccount({ balanceFen })))
  for (const accountId of accounts.slice(0, 2)) {
    for (let i = 0; i < 5; i++) await t.charge(accountId, 3)
  }
})
afterAll(async () => {
  await t.stop()
  await t.stores.stop()
})

/** The audit of books that are damaged inside a transaction, which is rolled back. */
async function auditOf(
  damage: (sql: Sql, first: AccountId) => PromiseLike<unknown>,
  options = {},
): Promise<Audit> {
  await t.books()
  const connection = await t.stores.sql.reserve()
  try {
    await connection`begin`
    await connection`set local session_replication_role = replica`
    await damage(connection, accounts[0] ?? accountMissing())
    return await auditBooks({ sql: connection, redis: t.nodes, ...options })
  } finally {
    await connection`rollback`
    connection.release()
  }
}

function accountMissing(): never {
  throw new Error("there are three accounts")
}

test("books in order have no finding, and their sums are told", async () => {
  const audit = await auditOf(async () => undefined, { partitions: 1 })
  expect(audit).toEqual({
    ...{ accounts: 3, records: 12, creditsFen: 200, debitsFen: 30, balancesFen: 170 },
    ...{ driftFen: 0, findings: [] },
  })
})

type Case = [
  name: string,
  damage: (sql: Sql, first: AccountId) => PromiseLike<unknown>,
  findings: RegExp[],
  driftFen?: number,
]

const RECORDS = /^acct_\w+: 1 gaps, 1 breaks and 0 wrong sums/
const MISSING = /^partition 0: position \d+ is missing$/
const CHANGED = /^partition 0: positions 1 to 12 are not what was written, or the head/
const cases: Case[] = [
  [
    "a record is missing",
    (sql, id) => sql`delete from change_records where account_id = ${id} and seq = 3`,
    [
      RECORDS,
      /^partition 0: 11 records at 11 positions up to 12, and the watermark counts 12$/,
      /^charge of partition 0/,
      /usage of key_test user\.login/,
      MISSING,
    ],
    3,
  ],
  [
    "the last record is missing",
    (sql, id) => sql`delete from change_records where account_id = ${id} and seq = 6`,
    [
      /its records end at 5 with 88 fen, its snapshot at 6 with 85$/,
      /11 positions/,
      /^charge of/,
      /usage of/,
      MISSING,
    ],
    3,
  ],
  [
    "a record is there twice",
    (sql, id) => sql`
      insert into change_records select account_id, seq, type, kind, amount_fen, balance_before_fen, balance_after_fen,
        description, at + interval '1 ms', interface, quantity, key_id, source_id, request_id, partition, position, slot, batch
      from change_records where account_id = ${id} and seq = 3
    `,
    [
      /1 gaps, 1 breaks and 0 wrong sums/,
      /13 records at 12 positions/,
      /^charge of/,
      /usage of/,
      /^partition 0: position \d+ is there twice$/,
    ],
    3,
  ],
  [
    "a record has another amount",
    (sql, id) => sql`
      update change_records set amount_fen = 4, balance_after_fen = balance_before_fen - 4
      where account_id = ${id} and seq = 6
    `,
    [
      /its records end at 6 with 84 fen, its snapshot at 6 with 85$/,
      /^charge of partition 0: the counter-account has 30 credit and 0 debit, its records 31 and 0$/,
      /usage of/,
      CHANGED,
    ],
    1,
  ],
  [
    "a record has another balance before",
    (sql, id) => sql`
      update change_records set balance_before_fen = balance_before_fen + 1, balance_after_fen = balance_after_fen + 1
      where account_id = ${id} and seq = 3
    `,
    [/0 gaps, 2 breaks and 0 wrong sums/, CHANGED],
  ],
  [
    "a record is of another account",
    (sql, id) =>
      sql`update change_records set account_id = ${accounts[2] ?? ""} where account_id = ${id} and seq = 6`,
    [/its records end at 5/, /its records end at 6/, /usage of/, /usage of/, CHANGED],
    6,
  ],
  [
    "a snapshot has another balance",
    (sql, id) => sql`update account_snapshots set balance_fen = 86 where account_id = ${id}`,
    [
      /its records end at 6 with 85 fen, its snapshot at 6 with 86$/,
      /^the trial balance is 1 fen, not zero$/,
      /^partition 0: its counter-accounts make 170 fen, its accounts have 171$/,
      /^acct_\w+: Redis has 85 fen at record 6, .*, its records make 86 fen at record 6, .*, open$/,
    ],
    1,
  ],
  [
    "a snapshot is missing",
    (sql, id) => sql`delete from account_snapshots where account_id = ${id}`,
    [
      /its snapshot at null with null$/,
      /^the trial balance is -85 fen/,
      /^partition 0: its counter-accounts make 170 fen, its accounts have 85$/,
      /2 instructions up to 2 are flushed, and its snapshot says 0$/,
      /^acct_\w+: Redis has it with 85 fen, and Postgres knows of no such account$/,
      CHANGED,
    ],
    85,
  ],
  [
    "a counter-account has a fen more",
    (sql) => sql`update counter_accounts set credit_fen = credit_fen + 1 where kind = 'charge'`,
    [
      /^the trial balance is 1 fen/,
      /^partition 0: its counter-accounts make 169 fen, its accounts have 170$/,
      /^charge of partition 0: the counter-account has 31 credit/,
    ],
    1,
  ],
  [
    "two counter-accounts are wrong by the same",
    (sql) =>
      sql`update counter_accounts set credit_fen = credit_fen + 7, debit_fen = debit_fen + 7`,
    [/^charge of partition 0/, /^redemption of partition 0/],
  ],
  [
    "the usage of an hour is wrong",
    (sql, id) => sql`update usage_hourly set calls = calls + 1 where account_id = ${id}`,
    [/usage of key_test user\.login at .* is 6 calls, 15 fen; its charges are 5 calls, 15 fen$/],
  ],
  [
    "a credit has no instruction",
    (sql, id) => sql`delete from instructions where account_id = ${id} and number = 2`,
    [
      /redemption rdm_\w+: 0 flushed instructions of 0 fen, 1 records of 100$/,
      /redemption rdm_\w+: there are 1, ordered by 0 instructions$/,
      /1 instructions up to 1 are flushed, and its snapshot says 2$/,
    ],
  ],
  [
    "an instruction has another amount than its record",
    (sql, id) =>
      sql`update instructions set amount_fen = 90 where account_id = ${id} and number = 2`,
    [
      /1 flushed instructions of 90 fen, 1 records of 100$/,
      /redemption rdm_\w+: there are 1, ordered by 0 instructions$/,
      /redemption rdm_\w+: there are 0, ordered by 1 instructions$/,
    ],
  ],
  [
    "an instruction is taken for flushed, and has no record",
    (sql, id) => sql`
      insert into instructions (account_id, number, kind, amount_fen, source_id, flushed)
      values (${id}, 3, 'redemption', 5, 'rdm_lost', true)
    `,
    [
      /rdm_lost: 1 flushed instructions of 5 fen, 0 records of 0$/,
      /redemption rdm_lost: there are 0, ordered by 1 instructions$/,
      /3 instructions up to 3 are flushed, and its snapshot says 2$/,
    ],
  ],
  [
    "an instruction has a number that was never flushed",
    (sql, id) => sql`update instructions set number = 3 where account_id = ${id} and number = 2`,
    [/2 instructions up to 3 are flushed/],
  ],
  [
    "one cause is ordered twice",
    (sql, id) => sql`
      insert into instructions (account_id, number, kind, amount_fen, source_id, flushed)
      select account_id, 3, kind, amount_fen, source_id, true from instructions
      where account_id = ${id} and number = 2
    `,
    [
      /2 flushed instructions of 200 fen, 1 records of 100$/,
      /3 instructions up to 3 are flushed/,
      /redemption rdm_\w+: there are 1, ordered by 2 instructions$/,
    ],
  ],
  [
    "a redemption was never ordered",
    (sql, id) => sql`
      insert into redemptions (id, code_id, account_id, amount_fen) values (${newId("rdm")}, 'code', ${id}, 5)
    `,
    [/redemption rdm_\w+: there are 1, ordered by 0 instructions$/],
  ],
  [
    "a redemption is of another amount than its credit",
    (sql, id) => sql`update redemptions set amount_fen = 99 where account_id = ${id}`,
    [
      /redemption rdm_\w+: there are 1, ordered by 0 instructions$/,
      /redemption rdm_\w+: there are 0, ordered by 1 instructions$/,
    ],
  ],
  [
    "a credit has no redemption",
    (sql, id) => sql`delete from redemptions where account_id = ${id}`,
    [/redemption rdm_\w+: there are 0, ordered by 1 instructions$/],
  ],
  [
    "a reversal was never ordered",
    (sql, id) => sql`
      insert into reversals (charge_id, account_id, amount_fen, instruction, service_key_id)
      values ('chg_1', ${id}, 3, 9, 'svc_1')
    `,
    [/^charge chg_1: 1 reversals ordered by 0 instructions, 0 records of it$/],
  ],
  [
    "the watermark counts a record more",
    (sql) => sql`update partitions set records = records + 1`,
    [/12 records at 12 positions up to 12, and the watermark counts 13$/, MISSING],
  ],
]

describe("it finds that", () => {
  for (const [name, damage, findings, driftFen] of cases) {
    test(name, async () => {
      const audit = await auditOf(damage)
      expect(audit.findings).toHaveLength(findings.length)
      expect(audit.driftFen).toBe(driftFen ?? 0)
      for (const finding of findings) {
        expect(audit.findings).toContainEqual(expect.stringMatching(finding))
      }
    })
  }

  test("Redis has another balance, or has the account no more", async () => {
    await t.books()
    const key = keyOf(accounts[1] ?? accountMissing())
    const state = await t.redis.getBuffer(key)
    if (state === null) throw new Error("the account must be in Redis")
    const audit = async () => (await auditBooks({ sql: t.stores.sql, redis: t.nodes })).findings
    await t.redis.set(key, Buffer.from(state).fill(9, 0, 1))
    expect(await audit()).toEqual([
      expect.stringMatching(
        /: Redis has 9 fen at record 6, .* its records make 85 fen at record 6/,
      ),
    ])
    await t.redis.del(key)
    expect(await audit()).toEqual([
      expect.stringMatching(/: Redis has nothing of it that can be read$/),
    ])
    await t.redis.set(key, state)
    expect(await audit()).toEqual([])
  })

  test("more or less is held than the open holds sum up to", async () => {
    await t.books()
    const accountId = accounts[0] ?? accountMissing()
    const hold = { ...chargeOf({ accountId, amountFen: fen(5) }), ttlMs: 60_000, isInternal: false }
    expect((await t.ledger.hold(hold)).status).toBe("held")
    const audit = async () => (await auditBooks({ sql: t.stores.sql, redis: t.nodes })).findings
    expect(await audit()).toEqual([])
    const [name = ""] = await t.redis.zrange(holdsKey(0, 1), "0", "0")
    const state = await t.redis.getBuffer(`${keyPrefix(0, 1)}h:${name}`)
    if (state === null) throw new Error("the hold must be in Redis")
    await t.redis.zrem(holdsKey(0, 1), name)
    expect(await audit()).toEqual([`${accountId}: 5 fen are held, its holds sum up to 0`])
    await t.redis.zadd(holdsKey(0, 1), 1, name)
    await t.redis.set(`${keyPrefix(0, 1)}h:${name}`, Buffer.from(state).fill(3, 0, 1))
    expect(await audit()).toEqual([
      `hold ${name} is among the open ones, and is not open`,
      `${accountId}: 5 fen are held, its holds sum up to 0`,
    ])
    await t.redis.set(`${keyPrefix(0, 1)}h:${name}`, state)
    await t.redis.zadd(holdsKey(0, 1), Date.now() + 60_000, name)
    expect(await audit()).toEqual([])
  })

  test("Postgres does not have what Redis has written, after waiting for it", async () => {
    const back = "update partitions set entry_number = entry_number - 1"
    const audit = await auditOf((sql) => sql.unsafe(back), { catchUpMs: 50 })
    expect(audit.findings).toEqual([
      expect.stringMatching(
        /^partition 0: Postgres has entry \d+ of generation 1, Redis has entry \d+ of generation 1$/,
      ),
    ])
  })

  test("the ledger has another number of partitions than its caller says", async () => {
    const audit = await auditOf(async () => undefined, { partitions: 2 })
    expect(audit.findings).toEqual(["the ledger has 1 partitions, not 2"])
  })
})

test("of very many findings it tells the first ones, and how many more there are", async () => {
  const audit = await auditOf(
    (sql) => sql`
      insert into account_snapshots (account_id, partition, balance_fen, last_seq, instruction_number, auth_version, status)
      select 'acct_000000000000' || n, 0, 0, 1, 0, 1, 'open' from generate_series(1000, 1099) n
    `,
  )
  expect(audit.findings).toHaveLength(42)
  expect(audit.findings.filter((finding) => finding === "and 80 more of this kind")).toHaveLength(2)
})
