import { describe, expect, setDefaultTimeout, test } from "bun:test"
import type { AccountId } from "../../src/ids.ts"
import type { ChargeOutcome } from "../../src/ledger/batch.ts"
import { eventually } from "../support/eventually.ts"
import { startLedger, type TestLedger, withStores } from "../support/ledger.ts"
import { type Relay, startRelay } from "../support/relay.ts"
import { signal } from "../support/stores.ts"

setDefaultTimeout(30_000)

/** A batch whose answer does not come: charged once or not at all, and its callers hear of it soon. */

/** Promise 9; the outer bound is for a machine that stalls, where no program can answer. */
const ANSWER_MS = 500
const ANSWER_MS_MAX = 1_500
const UNAVAILABLE: ChargeOutcome = { status: "unavailable" }

async function withRelay(run: (test: TestLedger, relay: Relay) => Promise<void>): Promise<void> {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const ledger = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
    await run(ledger, relay)
    await ledger.books()
    await ledger.stop()
    await relay.stop()
  })
}

async function kindsOf({ books, stores }: TestLedger, accountId: AccountId): Promise<string[]> {
  await books()
  const rows = await stores.sql<{ kind: string }[]>`
    select kind from change_records where account_id = ${accountId} order by seq
  `
  return rows.map(({ kind }) => kind)
}

async function untilCharged({ charge }: TestLedger, accountId: AccountId): Promise<void> {
  await eventually(async () => (await charge(accountId, 1)).status === "accepted")
}

async function timed<T>(work: () => Promise<T>): Promise<{ answer: T; ms: number }> {
  const startedAt = performance.now()
  const answer = await work()
  return { answer, ms: performance.now() - startedAt }
}

describe("a reply that is lost with its connection", () => {
  test("is asked for again: the caller gets accepted, and is charged once", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      const isCut = relay.cutBeforeReplyTo(accountId.slice(5))
      const outcome = await t.charge(accountId, 4)
      await isCut
      expect(outcome).toMatchObject({ status: "accepted", balanceFen: 6, seq: 2 })
      expect(await kindsOf(t, accountId)).toEqual(["redemption", "charge"])
    })
  })

  test("of each of eight batches in a row is asked for again", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 8 })
      for (let left = 7; left >= 0; left--) {
        const isCut = relay.cutBeforeReplyTo(accountId.slice(5))
        expect(await t.charge(accountId, 1)).toMatchObject({ status: "accepted", balanceFen: left })
        await isCut
      }
      expect(await kindsOf(t, accountId)).toEqual(["redemption", ...Array(8).fill("charge")])
    })
  })
})

describe("a reply that is late", () => {
  test("is not waited for: unavailable within 500 ms, then the charge is put back", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      relay.holdReplies()
      const { answer, ms } = await timed(() => t.charge(accountId, 4))
      expect(answer).toEqual(UNAVAILABLE)
      expect(ms).toBeLessThan(ANSWER_MS)
      relay.release()
      await untilCharged(t, accountId)
      expect(await kindsOf(t, accountId)).toEqual(["redemption", "charge", "reversal", "charge"])
      expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 9 } })
    })
  })

  test("of a batch that took nothing needs no reversal", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 1 })
      relay.holdReplies()
      expect(await t.charge(accountId, 2)).toEqual(UNAVAILABLE)
      relay.release()
      await untilCharged(t, accountId)
      expect(await kindsOf(t, accountId)).toEqual(["redemption", "charge"])
    })
  })

  test("refuses new charges at once while its batch is settled, and accepts them afterwards", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      relay.holdReplies()
      expect(await t.charge(accountId, 4)).toEqual(UNAVAILABLE)
      const refusals = await Promise.all(
        Array.from({ length: 50 }, () => timed(() => t.charge(accountId, 1))),
      )
      for (const { answer, ms } of refusals) {
        expect(answer).toEqual(UNAVAILABLE)
        expect(ms).toBeLessThan(ANSWER_MS)
      }
      expect((await t.ledger.health()).status).toBe("unavailable")
      relay.release()
      await untilCharged(t, accountId)
      expect(await kindsOf(t, accountId)).toEqual(["redemption", "charge", "reversal", "charge"])
    })
  })

  test("keeps no caller of the batches behind it waiting either", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 1_000 })
      relay.holdReplies()
      const answers = await Promise.all(
        Array.from({ length: 600 }, () => timed(() => t.charge(accountId, 1))),
      )
      expect(new Set(answers.map(({ answer }) => answer.status))).toEqual(new Set(["unavailable"]))
      expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(ANSWER_MS)
      relay.release()
      await untilCharged(t, accountId)
      expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 999 } })
    })
  })
})

describe("a request that does not arrive", () => {
  test("is barred, and is never charged, although it arrives when all is over", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      relay.holdRequests()
      const { answer, ms } = await timed(() => t.charge(accountId, 4))
      expect(answer).toEqual(UNAVAILABLE)
      expect(ms).toBeLessThan(ANSWER_MS)
      relay.cutClients()
      await untilCharged(t, accountId)
      relay.release()
      await untilCharged(t, accountId)
      expect(await kindsOf(t, accountId)).toEqual(["redemption", "charge", "charge"])
    })
  })

  test("because Redis takes no connection is refused at once, and charged never", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      relay.refuse()
      for (let i = 0; i < 5; i++) {
        const { answer, ms } = await timed(() => t.charge(accountId, 4))
        expect(answer).toEqual(UNAVAILABLE)
        expect(ms).toBeLessThan(ANSWER_MS)
      }
      relay.accept()
      await untilCharged(t, accountId)
      expect(await kindsOf(t, accountId)).toEqual(["redemption", "charge"])
    })
  })

  test("because the connection is dead without a sign is answered, and the connection replaced", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      const { connections } = relay.counts()
      relay.blackHole()
      const { answer, ms } = await timed(() => t.charge(accountId, 4))
      expect(answer).toEqual(UNAVAILABLE)
      expect(ms).toBeLessThan(ANSWER_MS)
      await untilCharged(t, accountId)
      expect(relay.counts().connections).toBeGreaterThan(connections)
      expect(await kindsOf(t, accountId)).toEqual(["redemption", "charge"])
    })
  })
})

test("while redis-server is frozen every call is answered within 500 ms; it is back within 2 s of its return", async () => {
  await withRelay(async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100_000 })
    const answers: { answer: ChargeOutcome; ms: number }[] = []
    signal(t.stores.redisPid(), "SIGSTOP")
    const frozenUntil = performance.now() + 1_500
    while (performance.now() < frozenUntil) {
      answers.push(
        ...(await Promise.all(
          Array.from({ length: 20 }, () => timed(() => t.charge(accountId, 1))),
        )),
      )
      await Bun.sleep(5)
    }
    signal(t.stores.redisPid(), "SIGCONT")
    const { ms } = await timed(() => untilCharged(t, accountId))
    expect(new Set(answers.map(({ answer }) => answer.status))).toEqual(new Set(["unavailable"]))
    const times = answers.map((answer) => answer.ms).sort((a, b) => a - b)
    expect(times[Math.floor(times.length * 0.95)]).toBeLessThan(ANSWER_MS)
    expect(times.at(-1)).toBeLessThan(ANSWER_MS_MAX)
    expect(ms).toBeLessThan(2_000)
    expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 99_999 } })
  })
})
