import { expect, test } from "bun:test"
import { type Plan, startGenerator } from "../../bench/generator/generate.ts"
import { microsAt } from "../../bench/generator/histogram.ts"
import { parseServer, writeRequest } from "../../bench/generator/request.ts"

type Handler = (key: string, place: number) => Response | Promise<Response>

/** A server for one test, and a load on it with keys named 0, 1, 2 … */
async function generate(
  handler: Handler,
  plan: Partial<Plan> & { keys?: number; stop?: (stop: () => void) => void } = {},
) {
  let calls = 0
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => handler(request.headers.get("authorization")?.slice(7) ?? "", ++calls),
  })
  const url = `http://127.0.0.1:${server.port}`
  const answers: { place: number; status: number; micros: number }[] = []
  const lost: number[] = []
  const generator = startGenerator(
    {
      targets: [parseServer(url).target],
      requests: Array.from({ length: plan.keys ?? 1 }, (_, key) =>
        writeRequest(url, { path: "/", key: String(key), body: "{}" }),
      ),
      ...{ connections: 2, seconds: 0.5, callsPerSecond: null, timeoutMs: 5_000 },
      ...plan,
    },
    {
      answered: (place, { status }, micros) => void answers.push({ place, status, micros }),
      lost: (place) => void lost.push(place),
    },
  )
  plan.stop?.(generator.stop)
  try {
    return { ...(await generator.finished), seen: answers, lostPlaces: lost }
  } finally {
    await server.stop(true)
  }
}

const ok = () => new Response("ok")

test("a closed loop gives each connection requests of its own, and takes them all in turn", async () => {
  const byKey = new Map<string, number>()
  const found = await generate(
    (key) => {
      byKey.set(key, (byKey.get(key) ?? 0) + 1)
      return ok()
    },
    { keys: 5 },
  )
  expect([...byKey.keys()].toSorted()).toEqual(["0", "1", "2", "3", "4"])
  expect(found.answers).toBe(found.seen.length)
  expect(found.answers).toBeGreaterThan(5)
  expect([found.lost, found.unsent, found.broken]).toEqual([0, 0, 0])
})

test("in an open loop a call that had to wait is late from the moment when it was due", async () => {
  const STALL_MS = 400
  let stall: Promise<void> | null = null
  const found = await generate(
    async () => {
      // Whatever comes while the server stands still waits until it goes on.
      stall ??= Bun.sleep(STALL_MS)
      await stall
      return ok()
    },
    { callsPerSecond: 200, seconds: 1, connections: 2 },
  )
  expect(found.answers).toBe(200)
  // 80 calls became due while it stood still, of which two were sent: 40 of the 80 waited 200 ms.
  const late = found.seen.filter(({ micros }) => micros > (STALL_MS / 2) * 1_000)
  expect(late.length).toBeGreaterThanOrEqual(38)
  expect(microsAt(found.lateness, 1)).toBeGreaterThan((STALL_MS / 2) * 1_000)
})

test("a call without an answer in time is lost, its connection made anew, and the others go on", async () => {
  const found = await generate(
    (_, place) => (place === 1 ? new Promise<Response>(() => undefined) : ok()),
    { connections: 1, timeoutMs: 600, seconds: 1.5 },
  )
  // The one connection was lost with the first call, and answered those that came behind it.
  expect(found.lost).toBeGreaterThanOrEqual(1)
  expect([found.lostPlaces.length, found.broken]).toEqual([found.lost, found.lost])
  expect(found.answers).toBeGreaterThan(0)
})

test("calls for which no connection comes free in time are not sent, and counted", async () => {
  const found = await generate(() => new Promise<Response>(() => undefined), {
    ...{ callsPerSecond: 100, connections: 2, timeoutMs: 200, seconds: 0.5 },
  })
  expect(found.answers).toBe(0)
  expect(found.unsent).toBeGreaterThan(0)
  expect(found.lost + found.unsent).toBe(50)
})

test("a load that is stopped still waits for the answers to the calls that were made", async () => {
  const found = await generate(ok, {
    seconds: 60,
    stop: (stop) => setTimeout(stop, 200),
  })
  expect(found.seconds).toBeLessThan(60)
  expect(found.answers).toBe(found.seen.length)
  expect(found.lost).toBe(0)
})

test("a server that is not there ends the load with a sentence", async () => {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: ok })
  const target = { host: "127.0.0.1", port: server.port ?? 0, isTls: false }
  await server.stop(true)
  const plan = { connections: 1, seconds: 1, callsPerSecond: null, timeoutMs: 1_000 }
  const generator = startGenerator(
    { ...plan, targets: [target], requests: [new Uint8Array()] },
    { answered: () => undefined, lost: () => undefined },
  )
  expect(generator.finished).rejects.toThrow(
    `Not all connections to 127.0.0.1:${target.port} could be made.`,
  )
  await generator.finished.catch(() => undefined)
})
