import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import type { AccountId } from "../../src/ids.ts"
import type { ChargeItem, ChargeOutcome, Idempotency } from "../../src/ledger/items.ts"
import { createLedger, type Ledger } from "../../src/ledger/ledger.ts"
import { fen } from "../../src/money.ts"
import { createPlaces } from "../embedded/places.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { ready, startLedger, type TestLedger, withStores } from "../support/ledger.ts"
import { type Relay, startRelay } from "../support/relay.ts"
import { type Stores, signal } from "../support/stores.ts"

setDefaultTimeout(30_000)

/**
 * A client that was told 503 comes again with its Idempotency-Key, at another gateway, while the
 * first still does not know what became of its batch. Whatever arrives first, nobody pays twice, and
 * nobody pays for a call that was answered 503 alone.
 */

const UNAVAILABLE: ChargeOutcome = { status: "unavailable" }
const KEY: Idempotency = { digest: "0123456789abcdef", fingerprint: "prints", isOnce: false }

type Two = TestLedger & { other: Ledger; accountId: AccountId; relay: Relay }

/** One gateway behind a relay, and another one beside it that has Redis for itself. */
async function withTwo(run: (two: Two) => Promise<void>): Promise<void> {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const t = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
    const other = await startAnother(stores)
    const accountId = await t.openAccount({ balanceFen: 10 })
    await run({ ...t, other, accountId, relay })
    await t.books()
    await other.stop()
    await t.stop()
    await relay.stop()
  })
}

async function startAnother(stores: Stores): Promise<Ledger> {
  const ledger = await createLedger({
    ...{ redisUrl: stores.redisUrl, sql: stores.sql, dataDir: stores.dataDir },
    onBatch: () => undefined,
    log: () => undefined,
  })
  await ready(ledger)
  return ledger
}

function keyed(accountId: AccountId): ChargeItem {
  return chargeOf({ accountId, amountFen: fen(4), idempotency: KEY })
}

/** What is left of the ten fen once every batch is settled. */
async function leftOf({ ledger, accountId }: Two): Promise<number> {
  await ready(ledger)
  const found = await ledger.readAccount(accountId)
  return found.status === "found" ? found.account.balanceFen : Number.NaN
}

async function kindsOf(t: Two): Promise<string[]> {
  await t.books()
  const rows = await t.stores.sql<{ kind: string }[]>`
    select kind from change_records where account_id = ${t.accountId} and kind <> 'redemption' order by seq
  `
  return rows.map(({ kind }) => kind)
}

describe("a retry with the same key, at another gateway", () => {
  test("that is answered before the revoke arrives keeps its charge: the revoke leaves it", async () => {
    await withTwo(async (two) => {
      two.relay.holdReplies()
      expect(await two.ledger.charge(keyed(two.accountId))).toEqual(UNAVAILABLE)
      const retry = await two.other.charge(keyed(two.accountId))
      expect(retry).toMatchObject({ status: "accepted", isReplay: true, amountFen: 4 })
      two.relay.release()
      expect(await leftOf(two)).toBe(6)
      expect(await kindsOf(two)).toEqual(["charge"])
      expect(await two.other.charge(keyed(two.accountId))).toEqual(retry)
    })
  })

  test("that comes after the revoke is charged anew, and not answered from a result that was taken back", async () => {
    await withTwo(async (two) => {
      two.relay.holdReplies()
      expect(await two.ledger.charge(keyed(two.accountId))).toEqual(UNAVAILABLE)
      two.relay.release()
      expect(await leftOf(two)).toBe(10)
      const retry = await two.other.charge(keyed(two.accountId))
      expect(retry).toMatchObject({ status: "accepted", isReplay: false, balanceFen: 6 })
      expect(await kindsOf(two)).toEqual(["charge", "reversal", "charge"])
    })
  })

  test("that is decided before the first attempt arrives is not reversed by the revoke of that attempt", async () => {
    await withTwo(async (two) => {
      two.relay.holdRequests()
      const first = two.ledger.charge(keyed(two.accountId))
      const retry = await two.other.charge(keyed(two.accountId))
      expect(retry).toMatchObject({ status: "accepted", isReplay: false })
      expect(await first).toEqual(UNAVAILABLE)
      two.relay.release()
      expect(await leftOf(two)).toBe(6)
      expect(await kindsOf(two)).toEqual(["charge"])
    })
  })

  test("that is told 503 as well leaves nothing charged, whichever revoke comes first", async () => {
    await withTwo(async (two) => {
      signal(two.stores.redisPid(), "SIGSTOP")
      const both = [two.ledger, two.other].map((gateway) => gateway.charge(keyed(two.accountId)))
      expect(await Promise.all(both)).toEqual([UNAVAILABLE, UNAVAILABLE])
      signal(two.stores.redisPid(), "SIGCONT")
      await ready(two.other)
      expect(await leftOf(two)).toBe(10)
      expect(await two.redis.keys("*:r:*")).toEqual([])
      const again = await two.other.charge(keyed(two.accountId))
      expect(again).toMatchObject({ status: "accepted", isReplay: false, balanceFen: 6 })
    })
  })
})

test("a hold that was answered 503 is voided, and its retry reserves once", async () => {
  await withTwo(async (two) => {
    const hold = { ...keyed(two.accountId), ttlMs: 60_000, isInternal: false }
    two.relay.holdReplies()
    expect(await two.ledger.hold(hold)).toEqual({ status: "unavailable" })
    two.relay.release()
    await ready(two.ledger)
    expect(await two.ledger.readAccount(two.accountId)).toMatchObject({ account: { heldFen: 0 } })
    expect(await two.other.hold(hold)).toMatchObject({
      status: "held",
      isReplay: false,
      heldFen: 4,
    })
    expect(await two.redis.zcard("{p0}:1:holds")).toBe(1)
  })
})

test("a capture that was answered 503 is put back: the hold is open again and can be captured once", async () => {
  await withTwo(async (two) => {
    const hold = { ...chargeOf({ accountId: two.accountId, amountFen: fen(6) }), ttlMs: 60_000 }
    const held = await two.other.hold({ ...hold, isInternal: false })
    if (held.status !== "held") throw new Error(held.status)
    const capture = { holdId: held.holdId, amountFen: fen(4), idempotency: null }
    two.relay.holdReplies()
    expect(await two.ledger.capture(capture)).toEqual({ status: "unavailable" })
    two.relay.release()
    await ready(two.ledger)
    expect(await two.ledger.readAccount(two.accountId)).toMatchObject({
      account: { balanceFen: 10, heldFen: 4 },
    })
    expect(await two.other.capture(capture)).toMatchObject({ status: "accepted", balanceFen: 6 })
    expect(await kindsOf(two)).toEqual(["capture", "reversal", "capture"])
  })
})

describe("a gateway that dies between its 503 and its revoke", () => {
  const places = createPlaces()
  afterEach(places.clear)

  test("leaves the revoke in a file, and the next start on the same directory carries it out", async () => {
    await withStores({}, async (stores) => {
      const relay = await startRelay(stores.redisPort)
      const t = await startLedger(stores)
      const accountId = await t.openAccount({ balanceFen: 10 })
      const child = places.add(
        Bun.spawn([process.execPath, join(import.meta.dir, "../support/dying-gateway.ts")], {
          env: {
            ...process.env,
            REDIS_URL: relay.through(stores.redisUrl),
            DATABASE_URL: stores.databaseUrl,
            DATA_DIR: stores.dataDir,
            ACCOUNT_ID: accountId,
          },
          stdin: "pipe",
          stdout: "pipe",
        }),
      )
      const lines = linesOf(child.stdout)
      expect(await lines.next()).toBe("ready")
      relay.holdReplies()
      await child.stdin.write("charge\n")
      await child.stdin.flush()
      expect(await lines.next()).toBe("unavailable")
      child.kill("SIGKILL")
      await child.exited
      await relay.stop()
      // Nobody else knows of it: the charge stands until somebody starts on that directory.
      expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 6 } })

      const next = await startAnother(stores)
      await eventually(async () => {
        expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 10 } })
      })
      await next.stop()
      await t.books()
      await t.stop()
      expect(readdirSync(join(stores.dataDir, "revokes"))).toEqual([])
    })
  })
})

/** The lines of a child's output, one at a time. */
function linesOf(stream: ReadableStream<Uint8Array>) {
  const reader = stream.getReader()
  let text = ""
  return {
    async next(): Promise<string> {
      for (;;) {
        const end = text.indexOf("\n")
        if (end !== -1) {
          const line = text.slice(0, end)
          text = text.slice(end + 1)
          return line
        }
        const { done, value } = await reader.read()
        if (done) throw new Error(`the child ended after "${text}"`)
        text += new TextDecoder().decode(value)
      }
    },
  }
}
