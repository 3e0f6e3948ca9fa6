import { expect, setDefaultTimeout, test } from "bun:test"
import { rmSync } from "node:fs"
import { startRedis } from "../../src/embedded/redis.ts"
import { createLedger } from "../../src/ledger/ledger.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { WAIT_MS_MAX } from "../../src/limits.ts"
import { fen } from "../../src/money.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { ready, withLedger } from "../support/ledger.ts"
import { signal } from "../support/stores.ts"

setDefaultTimeout(30_000)

test("with WAIT a charge is answered once a replica has it; while none does, it is 503 and put back", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    const dir = `${t.stores.redisDir}-replica`
    const replica = await startRedis({ dir })
    const onReplica = connectRedis(replica.url, { name: "test", commandTimeoutMs: 5_000 })
    await connected(onReplica, 5_000)
    await onReplica.replicaof("127.0.0.1", t.stores.redisPort)
    await eventually(async () => /master_link_status:up/.test(await onReplica.info("replication")))
    const ledger = await createLedger({
      ...{ redisUrl: t.stores.redisUrl, sql: t.stores.sql, dataDir: t.stores.dataDir },
      ...{ onBatch: () => undefined, log: () => undefined },
      wait: { replicas: 1, timeoutMs: WAIT_MS_MAX },
    })
    await ready(ledger)
    const item = chargeOf({ accountId, amountFen: fen(1) })
    // A replica that is late on a busy machine makes it 503, and put back.
    await eventually(async () => (await ledger.charge(item)).status === "accepted")
    const key = (await t.redis.keys("{p0}:1:a:*"))[0] ?? ""
    const onMaster = await t.redis.getBuffer(key)
    expect(await onReplica.getBuffer(key)).toEqual(onMaster)

    signal(replica.pid, "SIGSTOP")
    expect(await ledger.charge(item)).toEqual({ status: "unavailable" })
    signal(replica.pid, "SIGCONT")
    await eventually(async () => (await ledger.charge(item)).status === "accepted")
    await eventually(async () => {
      expect(await ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 98 } })
    })
    await ledger.stop()
    onReplica.disconnect()
    await replica.stop()
    rmSync(dir, { recursive: true, force: true })
  })
})
