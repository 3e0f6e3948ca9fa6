import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { readOpening } from "../../db/queries/read-opening.ts"
import { accountKey, builtKey, claimKey } from "../../src/ledger/keys.ts"
import { examine } from "../../src/recovery/diagnose.ts"
import { fencePartition, recoverPartition, type Step } from "../../src/recovery/recover.ts"
import { failureOf } from "../support/failure.ts"
import { startLedger, type TestLedger, withLedger, withStores } from "../support/ledger.ts"
import { pay, spent } from "./recovering.ts"

setDefaultTimeout(30_000)

/**
 * A recovery may die or be frozen after each of its steps; what Redis still has of the generation before
 * is kept in each case, and so is what is charged meanwhile.
 */

const STEPS: readonly Step[] = ["claimed", "fenced", "drained", "built", "switched", "opened"]

const quiet = { log: () => undefined }

async function recover({ stores, nodes }: TestLedger, at: (step: Step) => Promise<void>) {
  const both = { redis: nodes, sql: stores.sql }
  const { watermark, claim } = await examine(both, 0)
  const lost = { watermark, claimedInRedis: claim, reason: "a test says so" }
  const claimed = await fencePartition(both, lost, { at })
  await recoverPartition(both, claimed, { opening: watermark.opening, ...quiet, at })
}

describe("a recovery that dies", () => {
  for (const died of STEPS) {
    test(`once it has ${died}: the next one finishes it, and every charge is kept`, async () => {
      await withStores({}, async (stores) => {
        const before = await startLedger(stores, { flusher: false })
        const accountId = await before.openAccount({ balanceFen: 100 })
        for (let n = 0; n < 3; n++) await pay(before, accountId)
        await before.stopKeeper()
        const failure = await failureOf(
          recover(before, async (step) => {
            if (step === died) throw new Error("it died")
          }),
        )
        expect(failure).toBe("it died")
        await before.stop()
        const after = await startLedger(stores)
        await pay(after, accountId)
        expect(await spent(after, accountId)).toBe(4)
        await after.books()
        await after.stop()
      })
    })
  }
})

describe("a recovery that is frozen, while another one is carried out", () => {
  for (const frozen of STEPS) {
    test(`once it has ${frozen}: when it wakes up, it can harm nothing`, async () => {
      await withLedger({}, async (t) => {
        const accountId = await t.openAccount({ balanceFen: 100 })
        for (let n = 0; n < 3; n++) await pay(t, accountId)
        await t.stopKeeper()
        const [isThere, wake] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
        const sleeper = recover(t, async (step) => {
          if (step !== frozen) return
          isThere.resolve()
          await wake.promise
        }).catch((error: unknown) => String(error))
        await isThere.promise
        await recover(t, async () => undefined).catch(() => undefined)
        for (let n = 0; n < 3; n++) await pay(t, accountId)
        wake.resolve()
        await sleeper
        for (let n = 0; n < 3; n++) await pay(t, accountId)
        expect(await spent(t, accountId)).toBe(9)
      })
    })
  }
})

test("a Redis that loses a part of what was built is not opened: the next recovery builds all of it", async () => {
  await withStores({}, async (stores) => {
    const before = await startLedger(stores, { flusher: false })
    const accountId = await before.openAccount({ balanceFen: 100 })
    await pay(before, accountId)
    await before.stopKeeper()
    const failure = await failureOf(
      recover(before, async (step) => {
        if (step !== "built") return
        // A replica takes over that had not the last page, nor that it was counted.
        await before.redis.del(accountKey(0, 2, accountId))
        await before.redis.decr(builtKey(0, 2))
      }),
    )
    expect(failure).toBe("Partition 0 could not be opened: fenced.")
    await before.stop()
    const after = await startLedger(stores)
    await pay(after, accountId)
    expect(await spent(after, accountId)).toBe(2)
    expect(await after.redis.keys("*:built")).toEqual([])
    await after.books()
    await after.stop()
  })
})

test("of several recoveries at once one is carried out, and nothing is lost", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    for (let n = 0; n < 3; n++) await pay(t, accountId)
    await t.stopKeeper()
    await Promise.all(
      Array.from({ length: 5 }, () => recover(t, async () => undefined).catch(() => undefined)),
    )
    await pay(t, accountId)
    expect(await spent(t, accountId)).toBe(4)
    const [generation = 0] = (await readOpening(t.stores.sql)).generations
    const claim = await t.redis.getBuffer(claimKey(0))
    expect(claim?.readUInt32LE(0)).toBe(generation)
  })
})
