import { expect, test } from "bun:test"
import { connectSql } from "../../db/connection.ts"
import { createReadiness } from "../../src/operations/readiness.ts"
import { startSystem, useSystem } from "../support/system.ts"

const system = useSystem({ metricsToken: "scrape-me", trustedProxies: ["127.0.0.1"] })

const never = new Promise<never>(() => undefined)

test("/livez says that the process runs", async () => {
  const { status, body } = await system().request("GET", "/livez")
  expect([status, body]).toEqual([200, { status: "live" }])
})

test("/readyz is 200 when a charge would work, and ?verbose says more", async () => {
  expect((await system().request("GET", "/readyz")).body).toEqual({ status: "ready" })
  const { status, body } = await system().request("GET", "/readyz?verbose")
  expect([status, body]).toEqual([200, { status: "ready", reasons: [], postgres: "reachable" }])
})

test("/readyz is 503 while Redis is away, within a second, and ?verbose says why", async () => {
  const local = await startSystem()
  await local.stores.killRedis()
  const startedAt = performance.now()
  const { status, body } = await local.request("GET", "/readyz?verbose")
  expect(performance.now() - startedAt).toBeLessThan(1_000)
  expect([status, body.status, body.postgres]).toEqual([503, "unavailable", "reachable"])
  expect(body.reasons.length).toBeGreaterThan(0)
  expect((await local.request("GET", "/readyz")).body).toEqual({ status: "unavailable" })
  expect((await local.request("GET", "/readyz?any")).status).toBe(503)
  await local.stop()
}, 30_000)

test("readiness answers within a second when both stores hang", async () => {
  const sql = connectSql("postgres://nobody@127.0.0.1:1/none", { max: 1, applicationName: "test" })
  const readiness = createReadiness({ sql, ledger: { health: () => never } })
  const startedAt = performance.now()
  const health = await readiness.all()
  expect(performance.now() - startedAt).toBeLessThan(1_000)
  expect(health).toEqual({
    status: "unavailable",
    reasons: ["The ledger did not answer within 800 ms."],
    isPartial: false,
    postgres: "unreachable",
  })
})

/** The names that the contract promises. */
const RELIED_ON = [
  "fengate_charges_total",
  "fengate_charge_seconds",
  "fengate_batch_items",
  "fengate_flush_lag_records",
  "fengate_flush_lag_seconds",
  "fengate_drift_fen",
  "fengate_partition_fenced",
]

test("/metrics answers on loopback, and elsewhere with the token only", async () => {
  const read = (headers: Record<string, string>) => system().request("GET", "/metrics", { headers })
  const local = await read({})
  expect(local.status).toBe(200)
  for (const name of RELIED_ON) expect(local.body).toContain(`# TYPE ${name} `)
  expect(local.headers.get("content-type")).toStartWith("text/plain")
  const far = { "x-forwarded-for": "203.0.113.9" }
  expect((await read(far)).body.code).toBe("missing_credential")
  expect((await read({ ...far, authorization: "Bearer wrong" })).body.code).toBe(
    "invalid_credential",
  )
  expect((await read({ ...far, authorization: "Bearer scrape-me" })).status).toBe(200)
})

test("without a token /metrics is not there for anyone but loopback, forwarded requests included", async () => {
  const local = await startSystem()
  expect((await local.request("GET", "/metrics")).status).toBe(200)
  const forwarded = { "x-forwarded-for": "127.0.0.1" }
  expect((await local.request("GET", "/metrics", { headers: forwarded })).status).toBe(404)
  await local.stop()
})
