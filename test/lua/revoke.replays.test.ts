import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { newId, randomChars } from "../../src/ids.ts"
import { holdIdOf, keyed, limitsOf } from "../support/batches.ts"
import { type Gateway, type Scripts, type Sent, startScripts } from "../support/scripts.ts"
import { expectBooks } from "./books.ts"

/**
 * One keyed request, decided in one batch and replayed in others, and revokes of some of these: what
 * somebody was told stays, what nobody was told goes back, once, in whatever order the revokes come.
 */
let scripts: Scripts
let gateways: Gateway[]
beforeAll(async () => {
  scripts = await startScripts()
  gateways = [await scripts.gateway(), await scripts.gateway(), await scripts.gateway()]
})
afterEach(() => expectBooks(scripts))
afterAll(() => scripts.stop())

/** Of so many batches, every choice of those that are revoked, in every order of their revokes. */
function revokesAmong(batches: number): number[][] {
  const longer = (order: number[]): number[][] =>
    Array.from({ length: batches }, (_, batch) => batch)
      .filter((batch) => !order.includes(batch))
      .flatMap((batch) => [[...order, batch], ...longer([...order, batch])])
  return [[], ...longer([])]
}

/** Each batch from a gateway of its own, as it must be: a slot has one batch at a time. */
async function sendToAll(items: Parameters<Gateway["send"]>[0], batches: number): Promise<Sent[]> {
  const sent: Sent[] = []
  for (const gateway of gateways.slice(0, batches)) sent.push(await gateway.send(items))
  expect(sent.map(({ bytes }) => bytes[0])).toEqual([0, 7, 7].slice(0, batches))
  return sent
}

async function revokeEach(sent: readonly Sent[], order: readonly number[]): Promise<void> {
  for (const batch of order) expect(await sent[batch]?.revoke()).toBe("revoked")
}

async function limited() {
  const [accountId, keyId] = [await scripts.put({ balanceFen: 100 }), newId("key")]
  await scripts.writeCounter(keyId)
  const digest = randomChars(16)
  const limits = limitsOf(keyId, { dailyFen: 1_000 })
  return { accountId, keyId, digest, limits, idempotency: keyed(digest) }
}

for (const batches of [1, 2, 3]) {
  const orders = revokesAmong(batches)

  describe(`of ${batches} batches with one request, revoked in ${orders.length} ways`, () => {
    test("a charge stands once where anybody was told of it, and not at all where nobody was", async () => {
      for (const order of orders) {
        const { accountId, keyId, digest, limits, idempotency } = await limited()
        const charge = { accountId, amountFen: 30, limits, idempotency }
        const sent = await sendToAll([charge], batches)
        await revokeEach(sent, order)
        const isPaid = order.length < batches
        const balanceFen = isPaid ? 70 : 100
        expect([order, await scripts.state(accountId)]).toMatchObject([order, { balanceFen }])
        const spent = { dayFen: 100 - balanceFen, totalFen: 100 - balanceFen }
        expect([order, await scripts.counter(keyId)]).toMatchObject([order, spent])
        const retry = await gatewayAt(0).send([charge])
        expect([order, retry.bytes]).toEqual([order, [isPaid ? 7 : 0]])
        expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 70 })
        expect(await scripts.result(digest)).toMatchObject({
          ...{ state: "charged", isOrphaned: isPaid && order.includes(0) },
        })
      }
    })

    test("a capture stands where anybody was told; else its hold is open again, with what it took", async () => {
      for (const order of orders) {
        const { accountId, keyId, limits, idempotency } = await limited()
        const first = { verb: "hold", accountId, amountFen: 50, limits } as const
        const holdId = holdIdOf(await gatewayAt(0).send([first]))
        const capture = { verb: "capture", holdId, amountFen: 30, idempotency } as const
        const sent = await sendToAll([capture], batches)
        await revokeEach(sent, order)
        const isPaid = order.length < batches
        expect([order, await scripts.state(accountId)]).toMatchObject([
          order,
          isPaid ? { balanceFen: 70, heldFen: 0 } : { balanceFen: 100, heldFen: 30 },
        ])
        expect(await scripts.counter(keyId)).toMatchObject({ totalFen: 30 })
        expect((await gatewayAt(0).send([capture])).bytes).toEqual([isPaid ? 7 : 0])
        expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 70, heldFen: 0 })
      }
    })

    test("a hold stays where somebody had been told of it when its own batch was revoked", async () => {
      for (const order of orders) {
        const { accountId, keyId, limits, idempotency } = await limited()
        const hold = { verb: "hold", accountId, amountFen: 50, limits, idempotency } as const
        const sent = await sendToAll([hold], batches)
        await revokeEach(sent, order)
        // One that was left for those who were told stays until its time is over.
        const isVoided = order.length === batches && order.at(-1) === 0
        const heldFen = isVoided ? 0 : 50
        expect([order, await scripts.state(accountId)]).toMatchObject([order, { heldFen }])
        expect(await scripts.counter(keyId)).toMatchObject({ totalFen: heldFen })
        expect((await gatewayAt(0).send([hold])).bytes).toEqual([isVoided ? 0 : 7])
        expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 50 })
      }
    })

    test("a void stays: it took nothing, and its repeats are told so", async () => {
      for (const order of orders) {
        const { accountId, keyId, limits, idempotency } = await limited()
        const hold = { verb: "hold", accountId, amountFen: 50, limits } as const
        const holdId = holdIdOf(await gatewayAt(0).send([hold]))
        const voiding = { verb: "void", holdId, idempotency } as const
        const sent = await sendToAll([voiding], batches)
        await revokeEach(sent, order)
        expect(await scripts.state(accountId)).toMatchObject({
          balanceFen: 100,
          heldFen: 0,
          seq: 0,
        })
        expect(await scripts.counter(keyId)).toMatchObject({ totalFen: 0 })
        expect((await gatewayAt(0).send([voiding])).bytes).toEqual([7])
      }
    })
  })
}

describe("a retry that comes between the revokes", () => {
  test("is told of a charge that was kept for another, and keeps it when that one is revoked", async () => {
    const { accountId, digest, idempotency } = await limited()
    const charge = { accountId, amountFen: 30, idempotency }
    const [first, second] = [await gatewayAt(0).send([charge]), await gatewayAt(1).send([charge])]
    await first.revoke()
    const third = await gatewayAt(2).send([charge])
    expect(third.outcomes).toMatchObject([{ isReplay: true, seq: 1 }])
    await second.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 70, seq: 1 })
    expect(await scripts.result(digest)).toMatchObject({ isOrphaned: true, told: 1 })
    await third.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, seq: 2 })
    expect(await scripts.result(digest)).toBeNull()
  })

  test("runs anew after the last, and is no part of what was revoked", async () => {
    const { accountId, idempotency } = await limited()
    const charge = { accountId, amountFen: 30, idempotency }
    const [first, second] = [await gatewayAt(0).send([charge]), await gatewayAt(1).send([charge])]
    await second.revoke()
    await first.revoke()
    const retry = await gatewayAt(2).send([charge])
    expect(retry.outcomes).toMatchObject([{ isReplay: false, seq: 3 }])
    for (const sent of [first, second]) expect(await sent.revoke()).toBe("revoked")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 70, seq: 3 })
  })
})

test("a charge that goes back later is named, and counted back, by its own time", async () => {
  const noon = Date.UTC(2035, 4, 31, 4)
  await scripts.setClock(noon)
  const { accountId, keyId, limits, idempotency } = await limited()
  const charge = { accountId, amountFen: 30, limits, idempotency }
  const first = await gatewayAt(0).send([charge])
  await scripts.setClock(noon + 86_400_000)
  const told = await gatewayAt(1).send([charge, { accountId, amountFen: 7, limits }])
  await gatewayAt(2).send([{ accountId, amountFen: 5, limits }])
  await first.revoke()
  await told.revoke()
  expect(await scripts.counter(keyId)).toMatchObject({ dayFen: 5, monthFen: 5, totalFen: 5 })
  expect((await scripts.entries()).at(-1)?.records).toMatchObject([
    { sourceId: `chg_${accountId.slice(5)}_203505_1`, revokedAtMs: noon, amountFen: 30 },
    { sourceId: `chg_${accountId.slice(5)}_203506_2`, revokedAtMs: noon + 86_400_000 },
  ])
})

describe("repeats within one batch", () => {
  test("go back with the first of them, once", async () => {
    const { accountId, keyId, digest, limits, idempotency } = await limited()
    const charge = { accountId, amountFen: 30, limits, idempotency }
    const sent = await gatewayAt(0).send([charge, charge, charge])
    expect(sent.bytes).toEqual([0, 23, 23])
    await sent.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, seq: 2 })
    expect(await scripts.counter(keyId)).toMatchObject({ totalFen: 0 })
    expect(await scripts.result(digest)).toBeNull()
  })

  test("say nothing about another batch that was told: in either order, the last revoke takes it back", async () => {
    for (const order of [[0, 1], [1, 0], [0], [1]]) {
      const { accountId, idempotency } = await limited()
      const charge = { accountId, amountFen: 30, idempotency }
      const sent = [
        await gatewayAt(0).send([charge, charge]),
        await gatewayAt(1).send([charge, charge]),
      ]
      expect(sent.map(({ bytes }) => bytes)).toEqual([
        [0, 23],
        [7, 7],
      ])
      await revokeEach(sent, order)
      const balanceFen = order.length === 2 ? 100 : 70
      expect([order, await scripts.state(accountId)]).toMatchObject([order, { balanceFen }])
    }
  })

  test("of holds and captures go back once as well", async () => {
    const { accountId, idempotency } = await limited()
    const hold = { verb: "hold", accountId, amountFen: 50, idempotency } as const
    const held = await gatewayAt(0).send([hold, hold])
    expect(held.bytes).toEqual([0, 23])
    const capture = {
      ...({ verb: "capture", holdId: holdIdOf(held) } as const),
      idempotency: keyed(randomChars(16)),
    }
    const captured = await gatewayAt(1).send([capture, capture])
    expect(captured.bytes).toEqual([0, 23])
    await captured.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 50, seq: 2 })
    await held.revoke()
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 100, heldFen: 0 })
  })
})

test("a charge that was told more often than its result can count stays", async () => {
  const { accountId, digest, idempotency } = await limited()
  const charge = { accountId, amountFen: 30, idempotency }
  const first = await gatewayAt(0).send([charge])
  const told: Sent[] = []
  for (let i = 0; i < 3; i++) {
    const other = await scripts.gateway()
    told.push(await other.send(Array.from({ length: 100 }, () => charge)))
  }
  expect(await scripts.result(digest)).toMatchObject({ told: 255 })
  for (const sent of [first, ...told]) await sent.revoke()
  expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 70, seq: 1 })
})

function gatewayAt(place: number): Gateway {
  const gateway = gateways[place]
  if (gateway === undefined) throw new Error(`there is no gateway ${place}`)
  return gateway
}
