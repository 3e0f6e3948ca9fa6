import { describe, expect, test } from "bun:test"
import { Charge } from "../../src/gateway/model.ts"
import { newAccountId } from "../../src/ids.ts"
import { type Developer, newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import type { Answer } from "../support/system.ts"
import {
  expectRefused,
  limitedDeveloper,
  newIdempotencyKey,
  newServiceKey,
  postKeyed,
  untilDecided,
  useTwoGateways,
} from "./calls.ts"

/** `POST /v1/charges/batch`: many charges of one request, each decided by itself. */

const { system, another } = useTwoGateways()

const CALL = { interface: "user.login" }
const PATH = "/v1/charges/batch"

type Result = { chargeId?: string; seq: number; status?: number; code?: string }

function send(
  { key }: { key: string },
  items: unknown[],
  headers: Record<string, string> = {},
): Promise<Answer> {
  return system().request("POST", PATH, { token: key, body: { items }, headers })
}

/** By status; a charge has none, and counts as 200. */
function statusesOf({ body }: Answer): number[] {
  return body.results.map(({ status }: Result) => status ?? 200)
}

async function balanceOf(developer: Developer): Promise<number> {
  return (await developer.balance()).body.balanceFen
}

describe("200", () => {
  test("results are in the order of the items, each as a charge of its own would be", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const items = [
      { ...CALL, quantity: 2 },
      { interface: "no.such" },
      { interface: "vip.get", quantity: 1_000 },
      { interface: "vip.get", description: "the last" },
    ]

    const { status, body, headers } = await send(developer, items, { "x-request-id": "batch-1" })

    expect(status).toBe(200)
    const [first, unknown, short, last] = body.results
    expect([first, last]).toMatchObject([
      { interface: "user.login", quantity: 2, amountFen: 2, balanceAfterFen: 98, seq: 2 },
      { interface: "vip.get", quantity: 1, amountFen: 1, balanceAfterFen: 97, seq: 3 },
    ])
    expect([unknown, short]).toMatchObject([
      { status: 404, code: "unknown_interface", requestId: "batch-1" },
      { status: 402, code: "insufficient_balance", requiredFen: 1_000, requestId: "batch-1" },
    ])
    for (const charge of [first, last]) expect(Object.keys(charge)).toEqual(CHARGE_FIELDS)
    expect(headers.get("content-type")).toStartWith("application/json")
    expect(headers.get("x-request-id")).toBe("batch-1")
    expect(await balanceOf(developer)).toBe(97)
  })

  test("1,000 charges on 600 fen: exactly 600 pay, each with a number of its own", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 600 })
    const keyed = { "idempotency-key": newIdempotencyKey() }

    const answer = await untilDecided(() => send(developer, Array(1_000).fill(CALL), keyed))

    const paid = answer.body.results.filter(({ chargeId }: Result) => chargeId !== undefined)
    expect(new Set(paid.map(({ seq }: Result) => seq)).size).toBe(600)
    expect(statusesOf(answer).filter((status) => status === 402)).toHaveLength(400)
    expect(await balanceOf(developer)).toBe(0)
    const ids = paid.map(({ chargeId }: Result) => chargeId)
    await eventually(async () => {
      const [row] = await system().sql`
        select count(*)::integer as count, sum(amount_fen)::text as sum
        from reporting.change_records where charge_id = any(string_to_array(${ids.join(",")}, ','))
      `
      expect({ ...row }).toEqual({ count: 600, sum: "600" })
    })
  })

  test("a service key charges many accounts in one request, each item within its own rules", async () => {
    const service = await newServiceKey(system())
    const [one, two] = [
      await newDeveloper(system(), { balanceFen: 10 }),
      await limitedDeveloper(system(), { balanceFen: 10, totalFen: 3 }),
    ]
    const items = [
      { ...CALL, accountId: one.accountId },
      { amountFen: 3, apiKey: two.limitedKey },
      { ...CALL, apiKey: two.limitedKey },
      { ...CALL, accountId: newAccountId() },
      CALL,
      { ...CALL, apiKey: "fk_1" },
      { amountFen: 9, accountId: one.accountId },
      { ...CALL, accountId: one.accountId },
    ]

    const answer = await send(service, items)

    expect(answer.status).toBe(200)
    expect(statusesOf(answer)).toEqual([200, 200, 402, 404, 422, 401, 200, 402])
    expect(answer.body.results[2].code).toBe("key_budget_reached")
    expect([await balanceOf(one), await balanceOf(two)]).toEqual([0, 7])
  })

  test("a key that was changed is learnt once, and all items are decided under what it is now", async () => {
    const developer = await limitedDeveloper(system(), { balanceFen: 1_000 })
    const { limitedKey, limitedKeyId, token } = developer
    expect((await developer.charge({}, limitedKey)).status).toBe(200)
    const body = { limits: { totalFen: 101 } }
    const path = `/v1/keys/${limitedKeyId}`
    await eventually(async () => {
      expect((await developer.get("/v1/changes?type=2")).body.items).toHaveLength(1)
    })
    expect((await another().request("PATCH", path, { token, body })).status).toBe(200)

    const keyed = { "idempotency-key": newIdempotencyKey() }
    const answer = await untilDecided(() => send({ key: limitedKey }, Array(200).fill(CALL), keyed))

    const count = (status: number) => statusesOf(answer).filter((each) => each === status).length
    expect([count(200), count(402)]).toEqual([100, 100])
  })

  test("the headers say what is left of the key's rate", async () => {
    const { limitedKey } = await limitedDeveloper(system(), { ratePerSecond: 5 })
    const answer = await send({ key: limitedKey }, Array(50).fill(CALL))
    expect(statusesOf(answer)).toContain(429)
    expect(answer.headers.get("ratelimit-policy")).toBe('"key";q=5;w=1')
    expect(answer.headers.get("ratelimit")).toBe('"key";r=0;t=1')
  })
})

describe("sent again", () => {
  test("with an Idempotency-Key the whole is safe: charged once, and all answers are the first", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const keyed = { key: newIdempotencyKey(), token: developer.key }
    const body = { items: [CALL, { ...CALL, quantity: 1_000 }, { ...CALL, quantity: 3 }, CALL] }
    const first = await postKeyed(system(), PATH, { ...keyed, body })
    expect(statusesOf(first)).toEqual([200, 402, 200, 200])
    expect(first.headers.has("idempotent-replayed")).toBe(false)

    const again = await postKeyed(another(), PATH, { ...keyed, body })

    const paid = ({ body: { results } }: Answer) =>
      results.filter(({ chargeId }: Result) => chargeId !== undefined)
    expect(paid(again)).toEqual(paid(first))
    expect(statusesOf(again)).toEqual([200, 402, 200, 200])
    expect(await balanceOf(developer)).toBe(95)
  })

  test("a batch of which all was paid before says that it is a repeat", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const keyed = { key: newIdempotencyKey(), token: developer.key, body: { items: [CALL, CALL] } }
    const first = await postKeyed(system(), PATH, keyed)
    const again = await postKeyed(system(), PATH, keyed)
    expect(again.body).toEqual(first.body)
    expect(again.headers.get("idempotent-replayed")).toBe("true")
  })

  test("an item without a key of its own has that of the request, # and its place", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const key = newIdempotencyKey()
    const own = { ...CALL, idempotencyKey: newIdempotencyKey() }
    const body = { items: [CALL, own, CALL] }
    const first = await postKeyed(system(), PATH, { key, token: developer.key, body })

    const single = await send(developer, [{ ...CALL, idempotencyKey: `${key}#2` }, own])

    expect(single.body.results).toEqual([first.body.results[2], first.body.results[1]])
    expect(await balanceOf(developer)).toBe(97)
  })

  test("one key twice in one batch is one charge; with another body it is refused", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const idempotencyKey = newIdempotencyKey()
    const item = { ...CALL, idempotencyKey }

    const answer = await send(developer, [item, item, { ...item, quantity: 2 }])

    expect(statusesOf(answer)).toEqual([200, 200, 422])
    expect(answer.body.results[1]).toEqual(answer.body.results[0])
    expect(answer.body.results[2].code).toBe("idempotency_key_reused")
    expect(await balanceOf(developer)).toBe(99)
  })

  test("the same batch ten times at once at two gateways is charged once", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 1_000 })
    const keyed = { key: newIdempotencyKey(), token: developer.key }
    const body = { items: Array(40).fill(CALL) }

    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        untilDecided(() => postKeyed(i % 2 === 0 ? system() : another(), PATH, { ...keyed, body })),
      ),
    )

    for (const answer of answers) expect(statusesOf(answer)).toEqual(Array(40).fill(200))
    const ids = answers.flatMap(({ body: { results } }) =>
      results.map(({ chargeId }: Result) => chargeId),
    )
    expect(new Set(ids).size).toBe(40)
    expect(await balanceOf(developer)).toBe(960)
  })
})

describe("refused as a whole", () => {
  test("401 where the credential is no good", async () => {
    const { key, keyId, token } = await newDeveloper(system(), { balanceFen: 100 })
    const body = { items: [CALL] }
    await expectRefused(system().request("POST", PATH, { body }), 401, "missing_credential")
    await system().request("PATCH", `/v1/keys/${keyId}`, { token, body: { enabled: false } })
    await expectRefused(send({ key }, [CALL]), 401, "key_disabled")
    await expectRefused(send({ key: "fs_x" }, [CALL]), 401, "invalid_credential")
  })

  test.each([
    ["no items", { items: [] }],
    ["1,001 items", { items: Array(1_001).fill(CALL) }],
    ["an item that is no charge", { items: [CALL, { quantity: "1" }] }],
    ["an unknown field", { items: [{ ...CALL, price: 1 }] }],
    ["a malformed idempotencyKey", { items: [{ ...CALL, idempotencyKey: "a b" }] }],
    ["items beside something else", { items: [CALL], dryRun: true }],
  ])("422: %s, and nothing is charged", async (_name, body) => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const sent = system().request("POST", PATH, { token: developer.key, body })
    await expectRefused(sent, 422, "validation_failed")
    expect(await balanceOf(developer)).toBe(100)
  })

  test("a body of up to 1 MiB is read, and a larger one is 413", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 2_000 })
    const item = { ...CALL, description: "x".repeat(200), idempotencyKey: "k".repeat(255) }
    const items = Array.from({ length: 1_000 }, (_, i) => ({
      ...item,
      idempotencyKey: `${i}-${"k".repeat(250)}`,
    }))
    expect(JSON.stringify({ items }).length).toBeGreaterThan(500_000)
    const answer = await untilDecided(() => send(developer, items))
    expect(new Set(statusesOf(answer))).toEqual(new Set([200]))
    const large = `{"items":[${JSON.stringify(CALL)}]${" ".repeat(1_048_576)}}`
    const sent = system().request("POST", PATH, { token: developer.key, body: large })
    await expectRefused(sent, 413, "body_too_large")
  })
})

const CHARGE_FIELDS = Object.keys(Charge.properties)
