import { afterEach, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import http from "node:http"
import { join } from "node:path"
import { commandOf, freePort } from "../../src/embedded/processes.ts"
import { createPlaces } from "../embedded/places.ts"
import { call } from "../support/callers.ts"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { runProgram } from "../support/program.ts"
import { createRequest, register } from "../support/system.ts"

const places = createPlaces()
afterEach(places.clear)

const ADMIN = { ADMIN_EMAIL: "admin@example.com", ADMIN_PASSWORD: "a password for tests" }

async function startInstallation() {
  const dataDir = join(places.make(), "data")
  const port = await freePort()
  const env = { ...ADMIN, DATA_DIR: dataDir, PORT: String(port), GATEWAYS: "2" }
  const program = runProgram(places, env)
  await program.isUp()
  const request = createRequest(`http://127.0.0.1:${port}`)
  const developer = await newDeveloper(
    {
      request,
      register: () => register(request),
      adminToken: async () => {
        const body = { email: ADMIN.ADMIN_EMAIL, password: ADMIN.ADMIN_PASSWORD }
        return (await request("POST", "/v1/sessions", { body })).body.accessToken
      },
    },
    { balanceFen: 10_000 },
  )
  return { port, program, dataDir, key: developer.key }
}

/** The gateways of a supervisor, the oldest first. */
function gatewaysOf(pid: number): number[] {
  const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
  const children = listed.split(" ").map(Number)
  return children.filter((child) => commandOf(child)?.includes("main.ts gateway"))
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
  const { port, program, key } = await startInstallation()
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
    const [oldest = 0] = gatewaysOf(program.child.pid)
    const cpuBefore = (await scrape(port)).get("fengate_process_cpu_seconds_total") ?? 0
    process.kill(oldest, signal)
    await eventually(
      () => commandOf(oldest) === null && gatewaysOf(program.child.pid).length === 2,
      { timeoutMs: 20_000 },
    )
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
  program.child.kill("SIGTERM")
  expect((await program.ended()).code).toBe(0)
}, 90_000)

test("a gateway that does not answer is told of, and its last figures stand for it", async () => {
  const { port, program, key } = await startInstallation()
  await charge(port, key, 60)
  expect((await scrape(port)).get(ACCEPTED)).toBe(60)
  const [stopped = 0] = gatewaysOf(program.child.pid)
  process.kill(stopped, "SIGSTOP")
  const figures = await eventually(() => scrape(port), { timeoutMs: 60_000 })
  expect(figures.get('fengate_gateways{state="answered"}')).toBe(1)
  expect(figures.get('fengate_gateways{state="silent"}')).toBe(1)
  expect(figures.get(ACCEPTED)).toBe(60)
  process.kill(stopped, "SIGCONT")
  await eventually(async () => (await scrape(port)).get('fengate_gateways{state="silent"}') === 0)
  program.child.kill("SIGTERM")
  expect((await program.ended()).code).toBe(0)
}, 90_000)

test("a gateway started by hand answers for itself", async () => {
  const { port, program, key, dataDir } = await startInstallation()
  await charge(port, key, 10)
  const { redis, postgres } = JSON.parse(readFileSync(join(dataDir, "stores.json"), "utf8"))
  const own = await freePort()
  const env = { PORT: String(own), REDIS_URL: redis.url, DATABASE_URL: postgres.url }
  const hand = runProgram(places, env, ["gateway"])
  await eventually(() => scrape(own))
  await charge(own, key, 5)
  const figures = await scrape(own)
  expect(figures.get(ACCEPTED)).toBe(5)
  expect(figures.get('fengate_gateways{state="answered"}')).toBe(1)
  for (const { child, ended } of [hand, program]) {
    child.kill("SIGTERM")
    expect((await ended()).code).toBe(0)
  }
}, 60_000)
