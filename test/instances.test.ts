import { afterEach, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { connectSql } from "../db/connection.ts"
import { freePort } from "../src/embedded/processes.ts"
import { oneNode } from "../src/ledger/cluster.ts"
import { connected, connectRedis } from "../src/ledger/redis.ts"
import { auditBooks } from "../src/reconcile/audit.ts"
import { createPlaces } from "./embedded/places.ts"
import { untilDecided } from "./gateway/calls.ts"
import { newDeveloper } from "./support/developer.ts"
import { eventually } from "./support/eventually.ts"
import { runProgram } from "./support/program.ts"
import { createRequest, register } from "./support/system.ts"

const places = createPlaces()
afterEach(places.clear)

const ADMIN = { ADMIN_EMAIL: "admin@example.com", ADMIN_PASSWORD: "a password for tests" }

/** An instance with stores of its own, and a second one beside it on the same stores. */
async function startTwo() {
  const dataDir = join(places.make(), "data")
  const [first, second] = [await freePort(), await freePort()]
  const own = { GATEWAYS: "1", PORT: String(first) }
  const one = runProgram(places, { ...ADMIN, ...own, DATA_DIR: dataDir })
  await one.isUp()
  const stores = JSON.parse(readFileSync(join(dataDir, "stores.json"), "utf8"))
  const databaseUrl: string = stores.postgres.url
  const redisUrl: string = stores.redis.url
  const env = {
    GATEWAYS: "1",
    PORT: String(second),
    REDIS_URL: redisUrl,
    DATABASE_URL: databaseUrl,
  }
  const two = runProgram(places, { ...env, DATA_DIR: join(places.make(), "none") })
  await two.isUp()
  const urls = [`http://127.0.0.1:${first}`, `http://127.0.0.1:${second}`] as const
  return { one, two, urls, databaseUrl, redisUrl }
}

function clientOf(url: string) {
  const request = createRequest(url)
  return {
    request,
    register: () => register(request),
    adminToken: async (): Promise<string> => {
      const body = { email: ADMIN.ADMIN_EMAIL, password: ADMIN.ADMIN_PASSWORD }
      return (await request("POST", "/v1/sessions", { body })).body.accessToken
    },
  }
}

test("two instances share stores: exact money, and a revocation at one is instant at the other", async () => {
  const { one, two, urls, databaseUrl, redisUrl } = await startTwo()
  const [here, there] = [clientOf(urls[0]), clientOf(urls[1])]
  const developer = await newDeveloper(here, { balanceFen: 1_000 })
  const chargeAt = ({ request }: typeof here) =>
    request("POST", "/v1/charges", { token: developer.key, body: { interface: "user.login" } })

  const answers = await Promise.all(
    Array.from({ length: 2_000 }, (_, i) =>
      untilDecided(() => chargeAt(i % 2 === 0 ? here : there)),
    ),
  )
  const count = (status: number) => answers.filter((answer) => answer.status === status).length
  expect([count(200), count(402)]).toEqual([1_000, 1_000])

  const patch = { token: developer.token, body: { enabled: false } }
  expect((await here.request("PATCH", `/v1/keys/${developer.keyId}`, patch)).status).toBe(200)
  expect((await chargeAt(there)).body.code).toBe("key_disabled")

  two.child.kill("SIGTERM")
  expect((await two.ended()).code).toBe(0)
  await developer.credit(1)
  const patchBack = { ...patch, body: { enabled: true } }
  await here.request("PATCH", `/v1/keys/${developer.keyId}`, patchBack)
  expect((await chargeAt(here)).status).toBe(200)

  await expectBooks(databaseUrl, redisUrl)
  one.child.kill("SIGTERM")
  expect((await one.ended()).code).toBe(0)
}, 60_000)

test("a second start finds all data again, and what was answered survives kill -9 of everything", async () => {
  const env = { ...ADMIN, DATA_DIR: join(places.make(), "data"), PORT: String(await freePort()) }
  const client = clientOf(`http://127.0.0.1:${env.PORT}`)
  const first = runProgram(places, env)
  await first.isUp()
  const developer = await newDeveloper(client, { balanceFen: 100 })
  for (let call = 0; call < 20; call++) expect((await developer.charge()).status).toBe(200)
  first.child.kill("SIGKILL")
  await first.ended()

  const second = runProgram(places, env)
  await second.isUp()

  expect((await developer.balance()).body).toMatchObject({ balanceFen: 80, seq: 21 })
  expect((await developer.charge()).body.seq).toBe(22)
  await eventually(async () => {
    const { body } = await developer.get("/v1/changes?limit=200")
    expect(body.items).toHaveLength(22)
  })
  second.child.kill("SIGTERM")
  expect((await second.ended()).code).toBe(0)
}, 60_000)

async function expectBooks(databaseUrl: string, redisUrl: string): Promise<void> {
  const sql = connectSql(databaseUrl, { max: 1, applicationName: "test" })
  const redis = connectRedis(redisUrl, { name: "test", commandTimeoutMs: 5_000 })
  await connected(redis, 5_000)
  expect((await auditBooks({ sql, redis: oneNode(redis) })).findings).toEqual([])
  redis.disconnect()
  await sql.end()
}
