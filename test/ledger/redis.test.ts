import { expect, setDefaultTimeout, test } from "bun:test"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { eventually } from "../support/eventually.ts"
import { failureOf } from "../support/failure.ts"
import { withStores } from "../support/ledger.ts"
import { startRelay } from "../support/relay.ts"

setDefaultTimeout(30_000)

/** The connection through which money moves sends a command once, and never by itself again. */

test("a command whose reply was lost fails, and is not sent again: it was carried out once", async () => {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const url = relay.through(stores.redisUrl)
    const redis = connectRedis(url, { name: "test", commandTimeoutMs: 2_000 })
    await connected(redis, 5_000)
    for (let times = 1; times <= 3; times++) {
      const isCut = relay.cutBeforeReplyTo("counted")
      const failure = await failureOf(redis.incr("counted"))
      await isCut
      expect(failure).not.toBe("")
      await eventually(() => redis.status === "ready")
      expect(await redis.get("counted")).toBe(String(times))
    }
    redis.disconnect()
    await relay.stop()
  })
})

test("while there is no connection a command fails at once, and is not kept to be sent later", async () => {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const url = relay.through(stores.redisUrl)
    const redis = connectRedis(url, { name: "test", commandTimeoutMs: 2_000 })
    await connected(redis, 5_000)
    relay.refuse()
    await eventually(() => redis.status !== "ready")
    expect(await failureOf(redis.incr("counted"))).toContain("isn't writeable")
    relay.accept()
    await eventually(() => redis.status === "ready")
    expect(await redis.get("counted")).toBeNull()
    redis.disconnect()
    await relay.stop()
  })
})
