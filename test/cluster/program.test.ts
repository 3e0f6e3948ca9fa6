import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { freePort } from "../../src/embedded/processes.ts"
import { GATEWAY_COMMANDS } from "../../src/ledger/redis.ts"
import { createPlaces } from "../embedded/places.ts"
import { ops } from "../ops/ops.ts"
import { startRedisCluster } from "../support/cluster.ts"
import { type Developer, newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { runProgram } from "../support/program.ts"
import { startStores } from "../support/stores.ts"
import { createRequest, register } from "../support/system.ts"

setDefaultTimeout(120_000)

const places = createPlaces()
afterEach(places.clear)

const ADMIN = { ADMIN_EMAIL: "admin@example.com", ADMIN_PASSWORD: "a password for tests" }
const SLOW = { timeoutMs: 60_000 }

test("the whole program on a Cluster: gateways with a user of their own, WAIT, a master that dies, and the operator's commands", async () => {
  const cluster = await startRedisCluster(places.make())
  const local = await startStores()
  const nodes = [...cluster.masters, ...cluster.replicas]
  const rights = `on >hot-secret ~* resetchannels -@all ${GATEWAY_COMMANDS}`.split(" ")
  for (const { redis } of nodes) await redis.call("ACL", "SETUSER", "hot", ...rights)
  const port = await freePort()
  const env = {
    ...ADMIN,
    ...{ GATEWAYS: "2", PARTITIONS: "6", PORT: String(port), DATABASE_URL: local.databaseUrl },
    ...{ REDIS_URL: cluster.url, REDIS_WAIT_REPLICAS: "1", REDIS_WAIT_MS: "150" },
    REDIS_GATEWAY_URL: cluster.url.replace("redis://", "redis://hot:hot-secret@"),
    DATA_DIR: join(places.make(), "data"),
  }
  const program = runProgram(places, env)
  await program.isUp()
  const request = createRequest(`http://127.0.0.1:${port}`)
  const client = {
    request,
    register: () => register(request),
    adminToken: async (): Promise<string> => {
      const body = { email: ADMIN.ADMIN_EMAIL, password: ADMIN.ADMIN_PASSWORD }
      return (await request("POST", "/v1/sessions", { body })).body.accessToken
    },
  }
  const developers: Developer[] = []
  while (developers.length < 12) developers.push(await newDeveloper(client, { balanceFen: 10_000 }))
  const load = startCalls(developers)
  await eventually(() => load.haveAllBeenAccepted(), SLOW)

  const [master] = cluster.masters
  await master?.kill()
  await eventually(() => load.isAnyRefused(), SLOW)
  // Some accounts cannot be charged, and others can.
  await eventually(async () => expect((await request("GET", "/readyz")).status).toBe(503))
  expect((await request("GET", "/readyz?any")).status).toBe(200)
  // It comes back as the replica of what was its own; before that nobody acknowledges what is written.
  await eventually(async () => {
    const told = String(await cluster.masters[1]?.redis.call("CLUSTER", "NODES"))
    expect(told).toMatch(new RegExp(`^${master?.id} .*master,fail`, "m"))
    expect(told).toMatch(new RegExp(`^${cluster.replicas[0]?.id} .*master - `, "m"))
  }, SLOW)
  await master?.restart()
  await eventually(() => load.haveAllBeenAccepted(), SLOW)
  const accepted = await load.stop()

  // What was answered had been acknowledged by a replica: so nothing of it is lost.
  for (const [i, developer] of developers.entries()) {
    await eventually(async () => {
      expect((await developer.balance()).body).toMatchObject({
        balanceFen: 10_000 - (accepted[i] ?? 0),
      })
    }, SLOW)
  }
  const status = JSON.parse((await ops(env, "status", "--json")).out)
  expect(status.redis.map(({ role }: { role: string }) => role)).toEqual(Array(3).fill("master"))
  expect(status.partitions.map(({ state }: { state: string }) => state)).toEqual(
    Array(6).fill("open"),
  )
  expect(await ops(env, "reconcile", "--strict")).toMatchObject({ code: 0 })
  expect(await ops(env, "rebuild")).toMatchObject({ code: 0 })
  await eventually(async () => {
    for (const developer of developers) expect((await developer.charge()).status).toBe(200)
  }, SLOW)
  expect(await ops(env, "reconcile", "--strict")).toMatchObject({ code: 0 })
  expect(program.output()).not.toContain("secret")

  program.child.kill("SIGTERM")
  expect((await program.ended()).code).toBe(0)
  await cluster.stop()
  await local.stop()
})

/** Each developer calls one after the other; a call is 200 or 503, and nothing else. */
function startCalls(developers: readonly Developer[]) {
  const accepted = developers.map(() => 0)
  let seen = new Set<number>()
  let isAnyRefused = false
  let isOver = false
  const callers = developers.map(async (developer, i) => {
    while (!isOver) {
      const { status, body } = await developer.charge()
      if (status === 200) {
        accepted[i] = (accepted[i] ?? 0) + 1
        seen.add(i)
      } else {
        expect([status, body.code]).toEqual([503, "billing_unavailable"])
        isAnyRefused = true
      }
      await Bun.sleep(5)
    }
  })
  return {
    isAnyRefused: () => isAnyRefused,
    /** Since this was last true. */
    haveAllBeenAccepted(): boolean {
      if (seen.size < developers.length) return false
      seen = new Set()
      return true
    },
    async stop(): Promise<readonly number[]> {
      isOver = true
      await Promise.all(callers)
      return accepted
    },
  }
}
