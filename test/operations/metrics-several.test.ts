import { afterEach, expect, test } from "bun:test"
import http from "node:http"
import { commandOf, freePort } from "../../src/embedded/processes.ts"
import { createPlaces } from "../embedded/places.ts"
import { call } from "../support/callers.ts"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { startInstallation } from "../support/installation.ts"
import { runProgram } from "../support/program.ts"

const places = createPlaces()
afterEach(places.clear)

async function startPaid() {
  const installation = await startInstallation(places, { gateways: 2 })
  const { key } = await newDeveloper(installation.client, { balanceFen: 10_000 })
  return { ...installation, key }
}

/** Each on a connection of its own, so that the kernel gives every gateway its share. */
async function charge(port: number, key: string, times: number): Promise<void> {
  const agent = new http.Agent({ keepAlive: false, maxSockets: 8 })
  const body = { interface: "user.login" }
  const calls = Array.from({ length: times }, () =>
    call({ port, path: "/v1/charges", agent, key, body }),
  )
  expect((await Promise.all(calls)).filter(({ status }) => status !== 200)).toEqual([])
}

/** Each series with its figure, from whichever gateway the kernel gives the connection to. */
async function scrape(port: number): Promise<Map<string, number>> {
  const agent = new http.Agent({ keepAlive: false })
  const asked = call({ port, path: "/metrics", agent })
  const late = Bun.sleep(3_000).then(() => Promise.reject(new Error("a stopped gateway was asked")))
  const { status, body } = await Promise.race([asked, late])
  expect(status).toBe(200)
  const lines = body.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
  return new Map(
    lines.map((line) => {
      const end = line.lastIndexOf(" ")
      return [line.slice(0, end), Number(line.slice(end + 1))] as const
    }),
  )
}

const ACCEPTED = 'fengate_charges_total{outcome="accepted"}'
const RELIED_ON = [
  ACCEPTED,
  'fengate_charge_seconds_bucket{le="+Inf"}',
  "fengate_charge_seconds_count",
  'fengate_flush_lag_records{partition="0"}',
  'fengate_flush_lag_seconds{partition="0"}',
  'fengate_partition_fenced{partition="0"}',
  "fengate_drift_fen",
  "fengate_process_cpu_seconds_total",
  "fengate_process_resident_memory_bytes",
] as const

test("whichever gateway is asked, /metrics is the sum of all, and never falls when one ends", async () => {
  const { port, gateways, stop, key } = await startPaid()
  await charge(port, key, 60)
  for (let asked = 0; asked < 6; asked++) {
    const figures = await scrape(port)
    expect(RELIED_ON.filter((name) => !figures.has(name))).toEqual([])
    expect(figures.get(ACCEPTED)).toBe(60)
    expect(figures.get("fengate_charge_seconds_count")).toBe(60)
    expect(figures.get('fengate_gateways{state="answered"}')).toBe(2)
    expect(figures.get('fengate_gateways{state="silent"}')).toBe(0)
  }

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    const [oldest = 0] = gateways()
    const cpuBefore = (await scrape(port)).get("fengate_process_cpu_seconds_total") ?? 0
    process.kill(oldest, signal)
    await eventually(() => commandOf(oldest) === null && gateways().length === 2)
    const after = await eventually(async () => {
      const figures = await scrape(port)
      expect(figures.get('fengate_gateways{state="answered"}')).toBe(2)
      return figures
    })
    expect(after.get(ACCEPTED)).toBe(60)
    expect(after.get("fengate_process_cpu_seconds_total")).toBeGreaterThanOrEqual(cpuBefore)
  }
  await charge(port, key, 40)
  expect((await scrape(port)).get(ACCEPTED)).toBe(100)
  expect((await stop()).code).toBe(0)
}, 90_000)

test("a gateway that does not answer is told of, and its last figures stand for it", async () => {
  const { port, gateways, stop, key } = await startPaid()
  await charge(port, key, 60)
  expect((await scrape(port)).get(ACCEPTED)).toBe(60)
  const [stopped = 0] = gateways()
  process.kill(stopped, "SIGSTOP")
  try {
    // The kernel goes on giving connections to it as well: one of these has the other.
    const scrapes = Array.from({ length: 12 }, () => scrape(port))
    const figures = await Promise.any(scrapes)
    expect(figures.get('fengate_gateways{state="answered"}')).toBe(1)
    expect(figures.get('fengate_gateways{state="silent"}')).toBe(1)
    expect(figures.get(ACCEPTED)).toBe(60)
  } finally {
    process.kill(stopped, "SIGCONT")
  }
  await eventually(async () => (await scrape(port)).get('fengate_gateways{state="silent"}') === 0)
  expect((await stop()).code).toBe(0)
}, 90_000)

test("a gateway started by hand answers for itself", async () => {
  const { port, stores, stop, key } = await startPaid()
  await charge(port, key, 10)
  const { redisUrl, databaseUrl } = stores()
  const own = await freePort()
  const env = { PORT: String(own), REDIS_URL: redisUrl, DATABASE_URL: databaseUrl }
  const hand = runProgram(places, env, ["gateway"])
  await eventually(() => scrape(own))
  await charge(own, key, 5)
  const figures = await scrape(own)
  expect(figures.get(ACCEPTED)).toBe(5)
  expect(figures.get('fengate_gateways{state="answered"}')).toBe(1)
  hand.child.kill("SIGTERM")
  expect((await hand.ended()).code).toBe(0)
  expect((await stop()).code).toBe(0)
}, 60_000)
