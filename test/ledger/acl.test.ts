import { expect, setDefaultTimeout, test } from "bun:test"
import { createLedger } from "../../src/ledger/ledger.ts"
import { connected, connectRedis, GATEWAY_COMMANDS } from "../../src/ledger/redis.ts"
import { fen } from "../../src/money.ts"
import { keyed, limitsOf } from "../support/batches.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { failureOf } from "../support/failure.ts"
import { ready, withLedger } from "../support/ledger.ts"
import { startRelay } from "../support/relay.ts"

setDefaultTimeout(30_000)

test("a gateway whose Redis user may do nothing but decide can do all that it does, and load no script", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.redis.call(
      "ACL",
      "SETUSER",
      "gateway",
      "on",
      ">secret",
      "~*",
      "resetchannels",
      "-@all",
      ...GATEWAY_COMMANDS.split(" "),
    )
    const relay = await startRelay(t.stores.redisPort)
    const redisUrl = relay.through(t.stores.redisUrl).replace("redis://", "redis://gateway:secret@")
    const ledger = await createLedger({
      ...{ redisUrl, sql: t.stores.sql, dataDir: t.stores.dataDir },
      ...{ onBatch: () => undefined, log: () => undefined },
    })
    await ready(ledger)
    const plain = chargeOf({ accountId, amountFen: fen(1) })
    const keyId = "key_0123456789abcdef"
    const limits = limitsOf(keyId, { version: 0, dailyFen: 90 })
    const item = { ...plain, limits, idempotency: keyed("acl") }
    expect(await ledger.seedCounter(accountId, limits)).toBe("seeded")
    expect(await ledger.charge(item)).toMatchObject({ status: "accepted" })
    const held = await ledger.hold({ ...plain, ttlMs: 60_000, isInternal: false })
    if (held.status !== "held") throw new Error(`not held: ${held.status}`)
    const { holdId } = held
    const captured = await ledger.capture({ holdId, amountFen: null, idempotency: keyed("acl2") })
    expect(captured).toMatchObject({ status: "accepted" })
    await t.instruct(accountId, { kind: "redemption", amountFen: 5 })
    expect(await ledger.applyPending(accountId)).toMatchObject({ status: "applied" })
    expect((await ledger.readLags())[0]).toMatchObject({ generation: 1 })
    relay.holdReplies()
    expect(await ledger.charge(plain)).toEqual({ status: "unavailable" })
    relay.release()
    await eventually(async () => (await ledger.charge(plain)).status === "accepted")

    const redis = connectRedis(redisUrl, { name: "test", commandTimeoutMs: 1_000 })
    await connected(redis, 5_000)
    for (const command of [
      ["SCRIPT", "LOAD", "return 1"],
      ["EVAL", "return 1", "0"],
      ["FLUSHALL"],
      ["CONFIG", "SET", "appendonly", "no"],
      ["XTRIM", "{p0}:1:stream", "MAXLEN", "0"],
      ["REPLICAOF", "NO", "ONE"],
      ["ACL", "LIST"],
      ["KEYS", "*"],
    ] as const) {
      const [name, ...args] = command
      expect([name, await failureOf(redis.call(name, ...args))]).toEqual([
        name,
        expect.stringContaining("NOPERM"),
      ])
    }
    redis.disconnect()
    await ledger.stop()
    await relay.stop()
  })
})
