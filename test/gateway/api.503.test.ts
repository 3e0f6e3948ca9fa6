import { expect, test } from "bun:test"
import { createRelease } from "../../src/gateway/release.ts"
import { holdId, parseHoldId } from "../../src/ids.ts"
import { holdsKey } from "../../src/ledger/keys.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { VOID_ATTEMPTS_MAX } from "../../src/limits.ts"
import { eventually } from "../support/eventually.ts"
import { signal } from "../support/stores.ts"
import { problemOf, useApi } from "./api.ts"

const { system, upstream, offer, developer, call, balanceOf } = useApi()

test("503: an answer that cannot be paid for is thrown away, and costs nothing", async () => {
  await offer("/unpaid")
  const closed = Promise.withResolvers<void>()
  upstream().on("/unpaid", async (forwarded) => {
    signal(system().stores.redisPid(), "SIGSTOP")
    forwarded.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nprecious\r\n")
    await forwarded.closed
    closed.resolve()
  })
  const caller = await developer()
  const key = { "idempotency-key": "k-1" }
  const answer = await call(caller, "/unpaid", { method: "POST", headers: key })
  signal(system().stores.redisPid(), "SIGCONT")
  expect(answer.status).toBe(503)
  const text = await answer.text()
  expect(JSON.parse(text).code).toBe("billing_unavailable")
  expect(answer.headers.get("retry-after")).toBe("1")
  expect(text).not.toContain("precious")
  await closed.promise
  await eventually(async () => {
    expect(await balanceOf(caller)).toMatchObject({ balanceFen: 100, heldFen: 0 })
  })
  // What was answered 503 does not burn its key.
  upstream().on("/unpaid", ({ reply }) => reply())
  await eventually(async () => {
    expect((await call(caller, "/unpaid", { method: "POST", headers: key })).status).toBe(200)
  })
  expect(await balanceOf(caller)).toMatchObject({ balanceFen: 99, heldFen: 0 })
})

test("503: without a hold nothing is forwarded", async () => {
  await offer("/stopped")
  const caller = await developer()
  const before = upstream().calls.length
  signal(system().stores.redisPid(), "SIGSTOP")
  const startedAt = performance.now()
  const answer = await call(caller, "/stopped")
  const tookMs = performance.now() - startedAt
  signal(system().stores.redisPid(), "SIGCONT")
  expect([answer.status, (await problemOf(answer)).code]).toEqual([503, "billing_unavailable"])
  expect(tookMs).toBeLessThan(5_000)
  expect(upstream().calls.length).toBe(before)
  await eventually(async () => {
    expect(await balanceOf(caller)).toMatchObject({ balanceFen: 100, heldFen: 0 })
  })
})

test("a void that fails is sent again until the ledger is back", async () => {
  await offer("/later")
  upstream().on("/later", ({ reply }) => {
    signal(system().stores.redisPid(), "SIGSTOP")
    reply({ status: 404 })
  })
  const caller = await developer()
  const answer = await call(caller, "/later")
  signal(system().stores.redisPid(), "SIGCONT")
  expect(answer.status).toBe(404)
  await eventually(async () => {
    expect(await balanceOf(caller)).toEqual({ balanceFen: 100, heldFen: 0, seq: 1 })
  })
})

test("503: an answer whose hold is gone is thrown away, and costs nothing", async () => {
  await offer("/lost")
  const closed = Promise.withResolvers<void>()
  upstream().on("/lost", async (forwarded) => {
    await voidTheOnlyHold()
    forwarded.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nprecious\r\n")
    await forwarded.closed
    closed.resolve()
  })
  const caller = await developer()
  const answer = await call(caller, "/lost")
  expect(answer.status).toBe(503)
  const text = await answer.text()
  expect(JSON.parse(text).code).toBe("billing_unavailable")
  expect(text).not.toContain("precious")
  await closed.promise
  expect(system().log.join()).toContain("calls lost their holds: hold_not_found")
  expect(await balanceOf(caller)).toEqual({ balanceFen: 100, heldFen: 0, seq: 1 })
})

test("what is to be voided is tried again, is not given up at a stop, and in the end is told of", async () => {
  const { promise: away, resolve: comeBack } = Promise.withResolvers<void>()
  let [isAway, asked] = [true, 0]
  const log: string[] = []
  const tell = (subject: string, what: string) => void log.push(`${subject}: ${what}`)
  const ledger = {
    voidHold: async () => {
      asked++
      if (isAway) return { status: "unavailable" } as const
      return { status: "hold_not_found" } as const
    },
  }
  void away.then(() => {
    isAway = false
  })
  const first = createRelease({ ledger, tell })
  await first.release("hold_1")
  expect(asked).toBe(1)
  comeBack()
  await eventually(() => asked === 2)
  await first.stop()
  expect([asked, log]).toEqual([2, []])

  isAway = true
  asked = 0
  const second = createRelease({ ledger, tell })
  await second.release("hold_2")
  await second.stop()
  expect(asked).toBe(VOID_ATTEMPTS_MAX)
  expect(log).toEqual(["a hold could not be voided: it ends by itself"])
})

async function voidTheOnlyHold(): Promise<void> {
  const { stores, ledger } = system()
  const redis = connectRedis(stores.redisUrl, { name: "test", commandTimeoutMs: 5_000 })
  await connected(redis, 5_000)
  const names = await redis.zrange(holdsKey(0, 1), "0", "-1")
  redis.disconnect()
  expect(names).toHaveLength(1)
  const id = holdId({ name: names[0] ?? "", generation: 1, keyId: null, runningDigest: null })
  expect(parseHoldId(id)).not.toBeNull()
  expect((await ledger.voidHold({ holdId: id, idempotency: null })).status).toBe("voided")
}
