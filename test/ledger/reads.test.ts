import { expect, setDefaultTimeout, test } from "bun:test"
import { SETTLE_COMMAND_TIMEOUT_MS } from "../../src/limits.ts"
import { startLedger, withStores } from "../support/ledger.ts"
import { startRelay } from "../support/relay.ts"

setDefaultTimeout(30_000)

test("what a silent Redis has of an account is unavailable before its connection is given up", async () => {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const t = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
    const accountId = await t.openAccount({ balanceFen: 100 })
    relay.holdReplies()

    const givenUp = Bun.sleep(SETTLE_COMMAND_TIMEOUT_MS - 50).then(() => "too late")
    expect(await Promise.race([t.ledger.readAccount(accountId), givenUp])).toEqual({
      status: "unavailable",
    })

    relay.release()
    await t.books()
    await t.stop()
    await relay.stop()
  })
})
