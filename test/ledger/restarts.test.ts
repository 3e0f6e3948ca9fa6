import { expect, setDefaultTimeout, test } from "bun:test"
import { readOpening } from "../../db/queries/read-opening.ts"
import { randomChars } from "../../src/ids.ts"
import { createBatch } from "../../src/ledger/batch.ts"
import { memoKey, metaKey, streamKey } from "../../src/ledger/keys.ts"
import { runScript, type ScriptReply } from "../../src/ledger/run-script.ts"
import { scriptHashes } from "../../src/ledger/scripts.ts"
import { fen } from "../../src/money.ts"
import { startKeeper } from "../../src/recovery/keeper.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { startLedger, type TestLedger, withLedger, withStores } from "../support/ledger.ts"
import { startRelay } from "../support/relay.ts"

setDefaultTimeout(30_000)

/** What was decided survives kill -9 of redis-server, with the memo that knows a batch again. */

test("the memo survives kill -9: NOSCRIPT first, then the retry gets the first reply, and is charged once", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 10 })
    const batch = createBatch()
    const item = chargeOf({ accountId, amountFen: fen(3) })
    for (let i = 0; i < 2; i++) batch.addCharge(item, () => undefined)
    const slot = randomChars(12)
    const keys = [
      metaKey(0),
      streamKey(0, 1),
      memoKey(0, 1, slot),
      `{p0}:1:a:${accountId.slice(5)}`,
    ]
    const args = ["1", "1", "1000000", slot, "1", randomChars(8), batch.items(), "1", "86400000"]
    const attempt = async (opening: number): Promise<ScriptReply> =>
      runScript(t.redis, scriptHashes(opening).decide, { keys, args })

    await runScript(t.redis, scriptHashes(1).openSlot, {
      keys: [keys[0] ?? "", keys[2] ?? "", keys[1] ?? ""],
      args: ["1", "1", "0", ""],
    })
    const first = await attempt(1)
    expect(first.status).toBe("done")
    await t.stores.restartRedis()
    await eventually(async () => (await t.redis.ping().catch(() => "")) === "PONG")
    expect(await attempt(1)).toEqual({ status: "unscripted" })
    await eventually(async () => (await readOpening(t.stores.sql)).openings[0] === 2)
    await eventually(async () => (await attempt(2)).status !== "unscripted")
    expect(await attempt(2)).toEqual(first)
    expect(await t.ledger.readAccount(accountId)).toMatchObject({
      account: { balanceFen: 4, seq: 3 },
    })
  })
})

test("a batch whose reply was lost with redis-server itself is charged once or put back, never half", async () => {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const t = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
    const accountId = await t.openAccount({ balanceFen: 100 })
    for (let round = 1; round <= 2; round++) {
      relay.holdReplies()
      const charging = t.charge(accountId, 7)
      await eventually(async () => (await seqOf(t, accountId)) % 2 === 0)
      await stores.restartRedis()
      relay.cutAll()
      expect(await charging).toEqual({ status: "unavailable" })
      await eventually(async () => expect((await t.ledger.health()).status).toBe("ready"))
      await eventually(async () => (await seqOf(t, accountId)) % 2 === 1)
    }
    expect(await t.ledger.readAccount(accountId)).toMatchObject({
      account: { balanceFen: 100, seq: 5 },
    })
    await t.books()
    await t.stop()
    await relay.stop()
  })
})

test("charges that were accepted are all there after kill -9 under load", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100_000 })
    const accepted: number[] = []
    let isOver = false
    const workers = Array.from({ length: 20 }, async () => {
      while (!isOver) {
        const outcome = await t.charge(accountId, 1)
        if (outcome.status === "accepted") accepted.push(outcome.seq)
        else await Bun.sleep(10)
      }
    })
    for (const enough of [500, 1_000]) {
      await eventually(() => accepted.length > enough)
      await t.stores.restartRedis()
    }
    await eventually(() => accepted.length > 1_500)
    isOver = true
    await Promise.all(workers)
    await t.books()
    const rows = await t.stores.sql<{ seq: string }[]>`
      select seq from change_records r where account_id = ${accountId} and kind = 'charge'
        and not exists (select from change_records v where v.account_id = r.account_id and v.kind = 'reversal'
          and v.source_id like '%\\_' || r.seq)
    `
    expect(rows.map(({ seq }) => Number(seq)).sort((a, b) => a - b)).toEqual(
      accepted.sort((a, b) => a - b),
    )
  })
})

test("a keeper that starts while redis-server is away comes up when it is back", async () => {
  await withStores({}, async (stores) => {
    await stores.killRedis()
    const { redisUrl, databaseUrl, partitions } = stores
    const starting = startKeeper({ redisUrl, databaseUrl, partitions, log: () => undefined })
    await stores.restartRedis()
    await (await starting).stop()
    expect((await readOpening(stores.sql)).openings).toEqual([1])
  })
})

/** Past every relay: what Redis itself has. Odd: nothing is charged and not put back. */
async function seqOf({ redis }: TestLedger, accountId: string): Promise<number> {
  const state = await redis.getBuffer(`{p0}:1:a:${accountId.slice(5)}`).catch(() => null)
  return state === null ? Number.NaN : Number(state.readBigUInt64LE(16))
}

test("a Redis that has lost batches of a slot is not believed until it has been verified again", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 10 })
    for (let call = 0; call < 3; call++) {
      expect((await t.charge(accountId, 1)).status).toBe("accepted")
    }
    // The sweep of expired holds has a slot, too, through which nothing was sent.
    for (const memo of await t.redis.keys("{p0}:1:slot:*")) {
      const bytes = (await t.redis.getBuffer(memo)) ?? Buffer.alloc(8)
      if (bytes.readBigUInt64LE(0) > 0n) {
        await t.redis.set(memo, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]))
      }
    }

    for (let call = 0; call < 3; call++) {
      expect(await t.charge(accountId, 1)).toEqual({ status: "unavailable" })
    }
    expect(t.log.join("\n")).toContain("Redis has lost batches")
    expect(await t.ledger.health()).toMatchObject({ status: "unavailable" })

    await t.redis.script("FLUSH")
    await eventually(async () => (await t.charge(accountId, 1)).status === "accepted")
    expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 6 } })
  })
})
