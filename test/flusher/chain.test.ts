import { describe, expect, test } from "bun:test"
import { type ChainedRecord, createChain, type Written } from "../../src/flusher/chain.ts"
import { chainKeyOf, createChainKeys } from "../../src/flusher/chain-keys.ts"
import type { Entry } from "../../src/flusher/read-entries.ts"
import { type AccountId, newAccountId } from "../../src/ids.ts"
import { CHAIN_KEYS_MAX } from "../../src/limits.ts"
import { fen } from "../../src/money.ts"
import { firstHead, headAfter, leafOf } from "../support/leaves.ts"

/** The hash chain: each head follows from all records before it, in every one of their fields. */

const PLACE = { partition: 3, records: 41, chainStart: 41, chainHead: "" }
const KEY = "00112233445566778899aabbccddeeff"
const WRITTEN: Written = { atMs: 1_764_000_000_123, slot: "slot", batch: 7 }
const RECORD: ChainedRecord = {
  ...{ accountId: "acct_0123456789abcdef", seq: 9, type: 2, kind: "charge", amountFen: 3 },
  ...{ balanceBeforeFen: 100, balanceAfterFen: 97, description: "API call user.login" },
  ...{ interface: "user.login", quantity: 1, keyId: "key_1", sourceId: null, requestId: "req_1" },
}

const CASES: [name: string, record: Partial<ChainedRecord>, written?: Partial<Written>][] = [
  ["a charge", {}],
  ["numbers up to the highest", { seq: 2 ** 53 - 1, amountFen: 9e13, balanceBeforeFen: 2 ** 32 }],
  ["nothing but null", { interface: null, quantity: null, keyId: null, requestId: null }],
  ["neither slot nor batch", {}, { slot: null, batch: null }],
  ["empty texts", { interface: "", keyId: "", description: "" }, { slot: "", batch: 0 }],
  ["texts of several bytes a character", { description: "充值 ¥1 🎁 é" }],
  ["a long text", { description: "充".repeat(20_000) }],
  ["a negative number, which no script writes", { quantity: -1, amountFen: -(2 ** 40) }],
]

describe("the head after a record is what its description says:", () => {
  for (const [name, record, written] of CASES) {
    test(name, () => {
      const given = {
        ...PLACE,
        record: { ...RECORD, ...record },
        written: { ...WRITTEN, ...written },
      }
      const chain = createChain(PLACE)
      chain.add(given.record, given.written, KEY)
      const leaf = leafOf({ ...given, position: 42, chainKey: KEY })
      expect(chain.head()).toBe(headAfter(firstHead(3, 41), leaf).toString("hex"))
    })
  }
})

test("a chain goes on from any of its heads, over several records and erased ones", () => {
  const whole = createChain(PLACE)
  const heads = [41, 42, 43, 44].map(() => {
    whole.add(RECORD, WRITTEN, KEY)
    return whole.head()
  })
  expect(new Set(heads).size).toBe(4)
  const later = createChain({ ...PLACE, records: 43, chainHead: heads[1] ?? "" })
  const leaf = leafOf({ ...PLACE, position: 44, record: RECORD, written: WRITTEN, chainKey: KEY })
  later.addLeaf(leaf.toString("hex"))
  expect(later.head()).toBe(heads[2] ?? "")
  later.add(RECORD, WRITTEN, KEY)
  expect(later.head()).toBe(heads[3] ?? "")
})

describe("another head comes of", () => {
  const headOf = (
    record: Partial<ChainedRecord>,
    written: Partial<Written> = {},
    { key = KEY, place = PLACE } = {},
  ) => {
    const chain = createChain(place)
    chain.add({ ...RECORD, ...record }, { ...WRITTEN, ...written }, key)
    return chain.head()
  }
  const others: [name: string, head: string][] = [
    ["another account", headOf({ accountId: "acct_0123456789abcdeg" })],
    ["another number", headOf({ seq: 10 })],
    ["another type", headOf({ type: 1 })],
    ["another kind", headOf({ kind: "capture" })],
    ["another amount", headOf({ amountFen: 4 })],
    ["another balance before", headOf({ balanceBeforeFen: 101 })],
    ["another balance after", headOf({ balanceAfterFen: 98 })],
    ["another description", headOf({ description: "API call user.logout" })],
    ["another interface", headOf({ interface: "user.logon" })],
    ["another quantity", headOf({ quantity: 2 })],
    ["no quantity", headOf({ quantity: null })],
    ["another key", headOf({ keyId: "key_2" })],
    ["a source", headOf({ sourceId: "" })],
    ["another request", headOf({ requestId: "req_2" })],
    ["another time", headOf({}, { atMs: WRITTEN.atMs + 1 })],
    ["another slot", headOf({}, { slot: "slow" })],
    ["another batch", headOf({}, { batch: 8 })],
    ["no batch", headOf({}, { batch: null })],
    [
      "a character that moved into the next field",
      headOf({ kind: "charg", description: "eAPI call user.login" }),
    ],
    ["another chain key", headOf({}, {}, { key: KEY.replace("0", "1") })],
    ["another partition", headOf({}, {}, { place: { ...PLACE, partition: 4 } })],
    ["another position", headOf({}, {}, { place: { ...PLACE, records: 42 } })],
    ["another beginning", headOf({}, {}, { place: { ...PLACE, chainStart: 40 } })],
    ["another record before", headOf({}, {}, { place: { ...PLACE, chainHead: "ab".repeat(32) } })],
  ]
  for (const [name, head] of others) {
    test(name, () => expect(head).not.toBe(headOf({})))
  }

  test("each of these is another one", () => {
    expect(new Set(others.map(([, head]) => head)).size).toBe(others.length)
  })
})

describe("the chain key of an account", () => {
  const entryOf = (
    records: Pick<Entry["records"][number], "accountId" | "kind" | "description">[],
  ) => ({
    ...{ number: 1, id: "1", previousId: "0", slot: "", batch: 0, atMs: 0 },
    records: records.map((record) => ({
      ...record,
      ...{ type: 2 as const, seq: 1, amountFen: fen(1), balanceBeforeFen: fen(1) },
      ...{ balanceAfterFen: fen(0), interface: null, quantity: null, keyId: null, sourceId: null },
      ...{
        requestId: null,
        instruction: null,
        revokedAtMs: null,
        revokedSeq: null,
        toldSeq: null,
        keyed: null,
      },
    })),
  })
  const charge = (accountId: AccountId) => ({ accountId, kind: "charge" as const, description: "" })
  const stored = new Map<string, string>()
  const loads: string[][] = []
  const keys = createChainKeys(async (accountIds) => {
    loads.push([...accountIds])
    return accountIds.flatMap((accountId) => {
      const chainKey = stored.get(accountId)
      return chainKey === undefined ? [] : [{ accountId, chainKey }]
    })
  })

  test("is loaded once, with all others that a batch lacks", async () => {
    const [one, two] = [newAccountId(), newAccountId()]
    stored.set(one, KEY).set(two, "")
    for (const _ of [1, 2]) {
      const found = await keys.of([entryOf([charge(one), charge(two)]), entryOf([charge(one)])])
      expect([...found]).toEqual([
        [one, KEY],
        [two, chainKeyOf(two, "")],
      ])
    }
    expect(loads.splice(0)).toEqual([[one, two]])
  })

  test("comes with its opening, before anything is committed", async () => {
    const accountId = newAccountId()
    const opening = { accountId, kind: "open" as const, description: KEY }
    expect([...(await keys.of([entryOf([opening, charge(accountId)])]))]).toEqual([
      [accountId, KEY],
    ])
    expect((await keys.of([entryOf([charge(accountId)])])).get(accountId)).toBe(KEY)
    expect(loads.splice(0)).toEqual([])
  })

  test("of an account that has no snapshot is looked up again", async () => {
    const accountId = newAccountId()
    const entries = [entryOf([charge(accountId)])]
    expect((await keys.of(entries)).get(accountId)).toBe(chainKeyOf(accountId, ""))
    stored.set(accountId, KEY)
    expect((await keys.of(entries)).get(accountId)).toBe(KEY)
    expect(loads.splice(0)).toHaveLength(2)
  })

  test("that was not given follows from the account's id, and is no other account's", () => {
    const [one, two] = [newAccountId(), newAccountId()]
    expect(chainKeyOf(one, "")).toMatch(/^[0-9a-f]{32}$/)
    expect(chainKeyOf(one, "from a test")).toBe(chainKeyOf(one, ""))
    expect(chainKeyOf(one, "")).not.toBe(chainKeyOf(two, ""))
    expect(chainKeyOf(one, KEY)).toBe(KEY)
  })

  test("is forgotten, the oldest first, where there are too many to keep", async () => {
    const ids = Array.from({ length: CHAIN_KEYS_MAX + 1 }, newAccountId)
    for (const id of ids) stored.set(id, KEY)
    await keys.of([entryOf(ids.map(charge))])
    loads.splice(0)
    await keys.of([
      entryOf([charge(ids.at(-1) ?? newAccountId()), charge(ids[1] ?? newAccountId())]),
    ])
    expect(loads.splice(0)).toEqual([])
    await keys.of([entryOf([charge(ids[0] ?? newAccountId())])])
    expect(loads.splice(0)).toEqual([[ids[0] ?? ""]])
  })
})
