import { expect, setDefaultTimeout, test } from "bun:test"
import { parseAccountId } from "../../src/ids.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { giveInRedis } from "../reconcile/tampering.ts"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { useSystem } from "../support/system.ts"

setDefaultTimeout(30_000)

const system = useSystem()
const PATH = "/v1/admin/reconciliation"

async function admin(method: string, path = PATH) {
  return system().request(method, path, { token: await system().adminToken() })
}

/** Asks for a run, and answers it when it has ended. */
async function runToEnd() {
  const asked = await admin("POST")
  expect(asked.status).toBe(202)
  expect(asked.body.id).toMatch(/^rec_[0-9a-z]{16}$/)
  return eventually(async () => {
    const { items } = (await admin("GET")).body
    const run = items.find(({ id }: { id: string }) => id === asked.body.id)
    return run.status === "finished" && run
  })
}

test("202: the books are recomputed, the result is kept, and the act is audited", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 500 })
  for (let call = 0; call < 5; call++) await developer.charge()
  await system().booksBalance()
  const run = await runToEnd()
  expect(run).toMatchObject({ driftFen: 0, drift: "0.00", findings: [], failure: null })
  expect(run.records).toBeGreaterThanOrEqual(6)
  expect(run.accounts).toBeGreaterThanOrEqual(1)
  expect(run.startedAt >= run.askedAt && run.finishedAt >= run.startedAt).toBeTrue()

  const { body } = await admin("GET")
  expect(body).toMatchObject({ driftFen: 0, drift: "0.00", accounts: [], nextCursor: null })
  expect(body.partitions).toEqual([
    {
      partition: 0,
      reconciledPosition: run.records,
      reconciledThrough: expect.stringMatching(/Z$/),
      driftFen: 0,
      drift: "0.00",
      checkedAt: expect.stringMatching(/Z$/),
    },
  ])
  const { items } = (await admin("GET", "/v1/admin/audit?limit=1")).body
  expect(items[0]).toMatchObject({ action: "reconciliation.asked", target: run.id })
})

test("a run that is under way is answered to whoever asks; one that went silent is begun again", async () => {
  const id = "rec_0123456789abcdef"
  await system().sql`
    insert into reconciliation_runs (id, asked_by, started_at, alive_at)
    values (${id}, 'system', now(), now())
  `
  expect((await admin("POST")).body).toMatchObject({ id, status: "running", askedBy: "system" })
  await system().sql`
    update reconciliation_runs set alive_at = now() - interval '1 hour' where id = ${id}
  `
  await eventually(async () => {
    const { items } = (await admin("GET")).body
    expect(items[0]).toMatchObject({ id, status: "finished", findings: [] })
  })
})

test("runs come in pages, the newest first", async () => {
  for (let run = 0; run < 2; run++) await runToEnd()
  const first = (await admin("GET", `${PATH}?limit=1`)).body
  const second = (await admin("GET", `${PATH}?limit=1&cursor=${first.nextCursor}`)).body
  expect(first.items[0].askedAt >= second.items[0].askedAt).toBeTrue()
  expect(first.items[0].id).not.toBe(second.items[0].id)
})

test("a fen that was slipped into Redis is told with its account, in the answer and in /metrics", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 500 })
  await system().booksBalance()
  const redis = connectRedis(system().stores.redisUrl, { name: "test", commandTimeoutMs: 5_000 })
  await connected(redis, 5_000)
  const accountId = parseAccountId(developer.accountId)
  const restore = await giveInRedis({ redis, stores: system().stores }, accountId, 1)
  const metric = async () =>
    /^fengate_drift_fen (\S+)$/m.exec((await system().request("GET", "/metrics")).body)?.[1]
  await eventually(async () => expect(await metric()).toBe("1"))
  const run = await runToEnd()
  expect(run).toMatchObject({ driftFen: 1, drift: "0.01" })
  expect(run.findings).toEqual([expect.stringContaining(`${accountId}: Redis has 501 fen`)])
  expect((await admin("GET")).body).toMatchObject({
    driftFen: 1,
    accounts: [{ accountId, driftFen: 1, drift: "0.01" }],
  })
  await restore()
  expect((await runToEnd()).driftFen).toBe(0)
  await eventually(async () => expect(await metric()).toBe("0"))
  redis.disconnect()
})

test("401 and 403: only an administrator sees the books, or has them recomputed", async () => {
  const { token } = await system().register()
  for (const method of ["GET", "POST"]) {
    expect((await system().request(method, PATH)).body.code).toBe("missing_credential")
    expect((await system().request(method, PATH, { token })).body.code).toBe("not_allowed")
  }
})
