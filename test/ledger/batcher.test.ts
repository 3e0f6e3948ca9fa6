import { describe, expect, setDefaultTimeout, test } from "bun:test"
import type { AccountId } from "../../src/ids.ts"
import type { ChargeOutcome } from "../../src/ledger/items.ts"
import { eventually } from "../support/eventually.ts"
import { startLedger, type TestLedger, withStores } from "../support/ledger.ts"
import { type Relay, startRelay } from "../support/relay.ts"
import { signal } from "../support/stores.ts"

setDefaultTimeout(30_000)

/** A batch whose answer does not come: charged once or not at all, and its callers hear of it soon. */

/**
 * Promise 9. Each answer has the outer bound, and 95 of 100 the promised one: where the machine
 * itself stalls no program can answer, and that is not what these tests are to find.
 */
const ANSWER_MS = 500
const ANSWER_MS_MAX = 1_500
const answerTimes: number[] = []
/** The call that a test is about; others are made until one is accepted. */
const CALL = { requestId: "req_the_call" }
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

/** What became of one call: how often it is on record, and how often it was put back. */
async function fateOf({
  books,
  stores,
}: TestLedger): Promise<{ charged: number; putBack: number }> {
  await books()
  const [row] = await stores.sql<{ charged: number; putBack: number }[]>`
    select count(*)::integer as charged, count(v.seq)::integer as "putBack"
    from reporting.change_records c
    left join change_records v on v.kind = 'reversal' and v.source_id = c.charge_id
    where c.kind = 'charge' and c.request_id = ${CALL.requestId}
  `
  return row ?? { charged: Number.NaN, putBack: Number.NaN }
}

async function untilCharged({ charge }: TestLedger, accountId: AccountId): Promise<void> {
  await eventually(async () => (await charge(accountId, 1)).status === "accepted")
}

async function timed(
  work: () => Promise<ChargeOutcome>,
): Promise<{ answer: ChargeOutcome; ms: number }> {
  const startedAt = performance.now()
  const answer = await work()
  const ms = performance.now() - startedAt
  answerTimes.push(ms)
  return { answer, ms }
}

/**
 * Charges one fen, and loses the reply. Where the machine stalls for longer than a batch may take, the
 * call is 503 and put back: then another one is made. Answers how often that was.
 */
async function chargeThroughCut(
  t: TestLedger,
  relay: Relay,
  { accountId, balanceFen }: { accountId: AccountId; balanceFen: number },
): Promise<number> {
  for (let stalled = 0; ; stalled++) {
    const isCut = relay.cutBeforeReplyTo(accountId.slice(5))
    const outcome = await t.charge(accountId, 1, CALL)
    await isCut
    if (outcome.status === "unavailable" && stalled < 20) {
      await eventually(async () => (await t.ledger.health()).status === "ready")
      continue
    }
    expect(outcome).toMatchObject({ status: "accepted", balanceFen })
    return stalled
  }
}

describe("a reply that is lost with its connection", () => {
  test("is asked for again: the caller gets accepted, and is charged once", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      const stalled = await chargeThroughCut(t, relay, { accountId, balanceFen: 9 })
      expect(await fateOf(t)).toEqual({ charged: 1 + stalled, putBack: stalled })
    })
  })

  test("of each of eight batches in a row is asked for again", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 8 })
      let stalled = 0
      for (let balanceFen = 7; balanceFen >= 0; balanceFen--) {
        stalled += await chargeThroughCut(t, relay, { accountId, balanceFen })
      }
      expect(await fateOf(t)).toEqual({ charged: 8 + stalled, putBack: stalled })
    })
  })
})

describe("a reply that is late", () => {
  test("is not waited for: unavailable within 500 ms, then the charge is put back", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      relay.holdReplies()
      const { answer, ms } = await timed(() => t.charge(accountId, 4, CALL))
      expect(answer).toEqual(UNAVAILABLE)
      expect(ms).toBeLessThan(ANSWER_MS_MAX)
      relay.release()
      await untilCharged(t, accountId)
      expect(await fateOf(t)).toEqual({ charged: 1, putBack: 1 })
      expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 9 } })
    })
  })

  test("of a batch that took nothing needs no reversal", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 1 })
      relay.holdReplies()
      expect(await t.charge(accountId, 2, CALL)).toEqual(UNAVAILABLE)
      relay.release()
      await untilCharged(t, accountId)
      expect(await fateOf(t)).toEqual({ charged: 0, putBack: 0 })
    })
  })

  test("refuses new charges at once while its batch is settled, and accepts them afterwards", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      relay.holdReplies()
      expect(await t.charge(accountId, 4, CALL)).toEqual(UNAVAILABLE)
      const refusals = await Promise.all(
        Array.from({ length: 50 }, () => timed(() => t.charge(accountId, 1))),
      )
      for (const { answer, ms } of refusals) {
        expect(answer).toEqual(UNAVAILABLE)
        expect(ms).toBeLessThan(ANSWER_MS_MAX)
      }
      expect((await t.ledger.health()).status).toBe("unavailable")
      relay.release()
      await untilCharged(t, accountId)
      expect(await fateOf(t)).toEqual({ charged: 1, putBack: 1 })
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
      expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(ANSWER_MS_MAX)
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
      const { answer, ms } = await timed(() => t.charge(accountId, 4, CALL))
      expect(answer).toEqual(UNAVAILABLE)
      expect(ms).toBeLessThan(ANSWER_MS_MAX)
      relay.cutClients()
      await untilCharged(t, accountId)
      relay.release()
      await untilCharged(t, accountId)
      expect(await fateOf(t)).toEqual({ charged: 0, putBack: 0 })
    })
  })

  test("because Redis takes no connection is refused at once, and charged never", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      relay.refuse()
      for (let i = 0; i < 5; i++) {
        const { answer, ms } = await timed(() => t.charge(accountId, 4, CALL))
        expect(answer).toEqual(UNAVAILABLE)
        expect(ms).toBeLessThan(ANSWER_MS_MAX)
      }
      relay.accept()
      await untilCharged(t, accountId)
      expect(await fateOf(t)).toEqual({ charged: 0, putBack: 0 })
    })
  })

  test("because the connection is dead without a sign is answered, and the connection replaced", async () => {
    await withRelay(async (t, relay) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      const { connections } = relay.counts()
      relay.blackHole()
      const { answer, ms } = await timed(() => t.charge(accountId, 4, CALL))
      expect(answer).toEqual(UNAVAILABLE)
      expect(ms).toBeLessThan(ANSWER_MS_MAX)
      await untilCharged(t, accountId)
      expect(relay.counts().connections).toBeGreaterThan(connections)
      expect(await fateOf(t)).toEqual({ charged: 0, putBack: 0 })
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
    const backAt = performance.now()
    await untilCharged(t, accountId)
    expect(performance.now() - backAt).toBeLessThan(2_000)
    expect(new Set(answers.map(({ answer }) => answer.status))).toEqual(new Set(["unavailable"]))
    expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(ANSWER_MS_MAX)
    expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 99_999 } })
  })
})

test("of all calls above, at least 95 of 100 were answered within 500 ms", () => {
  const slow = answerTimes.filter((ms) => ms > ANSWER_MS).length
  expect(answerTimes.length).toBeGreaterThan(700)
  expect(slow / answerTimes.length).toBeLessThanOrEqual(0.05)
})
