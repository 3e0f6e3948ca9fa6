import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { sweepResults } from "../../src/flusher/sweep-results.ts"
import { type AccountId, randomChars } from "../../src/ids.ts"
import type { ChargeOutcome, HoldOutcome, Idempotency } from "../../src/ledger/items.ts"
import { IDEMPOTENCY_TTL_MS } from "../../src/limits.ts"
import { fen } from "../../src/money.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import {
  ready,
  startLedger,
  type TestLedger,
  useLedger,
  withLedger,
  withStores,
} from "../support/ledger.ts"
import { startRelay } from "../support/relay.ts"

setDefaultTimeout(30_000)

/** What a rebuild can give back of requests with an Idempotency-Key is flushed with their records. */
const ledger = useLedger({ partitions: 2 })

type Row = {
  seq: number
  digest: string
  fingerprint: string
  heldFen: number
  isOfRecord: boolean
}

/** What Postgres keeps of the account's requests, once it has all that Redis has. */
async function resultsOf(t: TestLedger, accountId: AccountId): Promise<Row[]> {
  await t.books()
  return await t.stores.sql<Row[]>`
    select i.seq::float8 as seq, digest, fingerprint, held_fen::float8 as "heldFen",
      exists (select 1 from change_records r where r.account_id = i.account_id and r.seq = i.seq
        and r.at = i.at and r.partition = i.partition) as "isOfRecord"
    from idempotency_results i where i.account_id = ${accountId} order by i.seq
  `
}

function key({ isOnce = false, fingerprint = "\0\xff\x1f\"\\'" } = {}): Idempotency {
  return { digest: randomChars(16), fingerprint, isOnce }
}

function rowOf({ digest, fingerprint }: Idempotency, seq: number, heldFen = 0): Row {
  const bytes = Buffer.from(fingerprint, "latin1").toString("base64")
  return { seq, digest, fingerprint: bytes, heldFen, isOfRecord: true }
}

function charge(
  t: TestLedger,
  accountId: AccountId,
  idempotency: Idempotency | null,
  amountFen = 4,
) {
  const details = chargeOf({ accountId, amountFen: fen(amountFen) })
  return t.ledger.charge({ ...details, idempotency })
}

async function hold(
  t: TestLedger,
  accountId: AccountId,
  idempotency: Idempotency | null,
): Promise<Extract<HoldOutcome, { status: "held" }>> {
  const item = { ...chargeOf({ accountId, amountFen: fen(9) }), idempotency }
  const outcome = await t.ledger.hold({ ...item, ttlMs: 60_000, isInternal: false })
  if (outcome.status !== "held") throw new Error(`not held: ${outcome.status}`)
  return outcome
}

describe("flushed with its record is the result", () => {
  test("of a keyed charge, with what was held then; of an unkeyed one there is none", async () => {
    const t = ledger()
    const accountId = await t.openAccount({ balanceFen: 100 })
    await hold(t, accountId, key())
    const keys = [key(), key()]
    for (const idempotency of [keys[0] ?? null, null, keys[1] ?? null]) {
      expect(await charge(t, accountId, idempotency)).toMatchObject({ status: "accepted" })
    }
    const [first = key(), second = key()] = keys
    expect(await resultsOf(t, accountId)).toEqual([rowOf(first, 2, 9), rowOf(second, 4, 9)])
  })

  test("of a keyed capture, and of the call that its hold was made for", async () => {
    const t = ledger()
    const accountId = await t.openAccount({ balanceFen: 100 })
    const [call, capture] = [key({ isOnce: true }), key()]
    const forCall = await hold(t, accountId, call)
    const byHand = await hold(t, accountId, key())
    const captured = [
      await t.ledger.capture({ holdId: forCall.holdId, amountFen: null, idempotency: null }),
      await t.ledger.capture({ holdId: byHand.holdId, amountFen: fen(1), idempotency: capture }),
    ]
    expect(captured).toMatchObject([{ status: "accepted" }, { status: "accepted" }])
    expect(await resultsOf(t, accountId)).toEqual([rowOf(call, 2, 9), rowOf(capture, 3)])
  })

  test("once, however often the request was repeated; of a refusal or a void there is none", async () => {
    const t = ledger()
    const accountId = await t.openAccount({ balanceFen: 10 })
    const idempotency = key()
    for (const isReplay of [false, true, true]) {
      expect(await charge(t, accountId, idempotency)).toMatchObject({ isReplay })
    }
    expect(await charge(t, accountId, key(), 99)).toMatchObject({ status: "insufficient_balance" })
    const voided = key()
    const { holdId } = await hold(t, await t.openAccount({ balanceFen: 9 }), key({ isOnce: true }))
    expect(await t.ledger.voidHold({ holdId, idempotency: voided })).toMatchObject({
      status: "voided",
    })
    expect(await resultsOf(t, accountId)).toEqual([rowOf(idempotency, 2)])
    const [row] = await t.stores.sql`
      select 1 from idempotency_results where digest = ${voided.digest}
    `
    expect(row).toBeUndefined()
  })
})

describe("of a charge that a revoke took back", () => {
  type Look = (t: TestLedger, accountId: AccountId, idempotency: Idempotency) => Promise<void>

  /** A charge that was answered 503 although Redis had made it; `meanwhile` nobody knows of that. */
  async function answered503(
    { flushed, meanwhile }: { flushed: "before" | "after"; meanwhile?: Look },
    look: Look,
  ): Promise<void> {
    await withStores({}, async (stores) => {
      const relay = await startRelay(stores.redisPort)
      const redisUrl = relay.through(stores.redisUrl)
      const t = await startLedger(stores, { redisUrl, flusher: false })
      const [accountId, idempotency] = [await t.openAccount({ balanceFen: 10 }), key()]
      const early = flushed === "before" ? await t.startFlusher() : null
      relay.holdReplies()
      const unavailable: ChargeOutcome = { status: "unavailable" }
      expect(await charge(t, accountId, idempotency)).toEqual(unavailable)
      if (early !== null) await eventually(async () => (await kept(t, accountId)) === 1)
      await meanwhile?.(t, accountId, idempotency)
      relay.release()
      await ready(t.ledger)
      const late = early ?? (await t.startFlusher())
      await look(t, accountId, idempotency)
      const again = await eventually(async () => {
        const outcome = await charge(t, accountId, idempotency)
        if (outcome.status !== "accepted") throw new Error(outcome.status)
        return outcome
      })
      expect(again).toMatchObject({ isReplay: false })
      expect(await resultsOf(t, accountId)).toEqual([rowOf(idempotency, again.seq)])
      await late.stop()
      await t.stop()
      await relay.stop()
    })
  }

  async function kept({ stores }: TestLedger, accountId: AccountId): Promise<number> {
    const rows = await stores.sql`select 1 from idempotency_results where account_id = ${accountId}`
    return rows.length
  }

  test("in the same flush none is written", async () => {
    await answered503({ flushed: "after" }, async (t, accountId) => {
      expect(await resultsOf(t, accountId)).toEqual([])
    })
  })

  test("in a later flush it is deleted", async () => {
    await answered503({ flushed: "before" }, async (t, accountId) => {
      expect(await resultsOf(t, accountId)).toEqual([])
    })
  })

  test("by an instruction, because its generation was over, it is deleted too", async () => {
    const meanwhile: Look = async (t) => {
      await t.redis.flushall()
      await eventually(() => t.log.includes("partition 0 is open in generation 2"))
    }
    await answered503({ flushed: "before", meanwhile }, async (t, accountId) => {
      await eventually(async () => (await kept(t, accountId)) === 0)
      await eventually(async () =>
        expect(await t.ledger.readAccount(accountId)).toMatchObject({
          account: { balanceFen: 10 },
        }),
      )
    })
  })
})

describe("after Redis was wiped and built anew", () => {
  test("a repeated request is answered as before, and is one charge; another one is refused", async () => {
    await withLedger({}, async (t) => {
      const [accountId, idempotency] = [await t.openAccount({ balanceFen: 10 }), key()]
      const first = await charge(t, accountId, idempotency)
      expect(first).toMatchObject({ status: "accepted", isReplay: false, seq: 2 })
      await t.books()
      await t.redis.flushall()
      const repeated = await eventually(async () => {
        const outcome = await charge(t, accountId, idempotency)
        return outcome.status !== "unavailable" && outcome
      })
      expect<unknown>(repeated).toEqual({ ...first, isReplay: true })
      const other = { ...idempotency, fingerprint: "others" }
      expect(await charge(t, accountId, other)).toMatchObject({ status: "idempotency_key_reused" })
      await t.books()
      const rows = await t.stores.sql<{ seq: string }[]>`
        select seq from change_records where account_id = ${accountId} and kind = 'charge'
      `
      expect([...rows]).toEqual([{ seq: "2" }])
    })
  })

  test("a repeated call of /api that was paid for is not paid for again", async () => {
    await withLedger({}, async (t) => {
      const [accountId, call] = [await t.openAccount({ balanceFen: 10 }), key({ isOnce: true })]
      const { holdId } = await hold(t, accountId, call)
      const captured = await t.ledger.capture({ holdId, amountFen: fen(3), idempotency: null })
      expect(captured).toMatchObject({ status: "accepted", seq: 2 })
      await t.books()
      await t.redis.flushall()
      const item = { ...chargeOf({ accountId, amountFen: fen(9) }), idempotency: call }
      const repeated = await eventually(async () => {
        const outcome = await t.ledger.hold({ ...item, ttlMs: 60_000, isInternal: false })
        return outcome.status !== "unavailable" && outcome
      })
      expect(repeated).toMatchObject({ status: "already_charged", amountFen: 3, seq: 2 })
    })
  })
})

test("results older than a day are deleted, a bounded number at a time, and younger ones are kept", async () => {
  const t = ledger()
  const { sql } = t.stores
  const accountId = await t.openAccount({ balanceFen: 10, partition: 1 })
  await charge(t, accountId, key())
  await t.books()
  await sql`
    insert into idempotency_results (account_id, seq, partition, at, digest, fingerprint, held_fen)
    select ${accountId}, 1000 + n, 1, now() - n * interval '1 minute'
      - ${IDEMPOTENCY_TTL_MS} * interval '1 millisecond' , 'of an earlier day', '', 0
    from generate_series(-3, 6) n
  `
  await sweepResults(sql, { partitions: 2, limit: 2 })
  const rows = await sql<{ seq: number }[]>`
    select seq::float8 as seq from idempotency_results where account_id = ${accountId} order by seq
  `
  expect(rows.map(({ seq }) => seq)).toEqual([2, 997, 998, 999])
  await sql`delete from idempotency_results where seq > 900`
})
