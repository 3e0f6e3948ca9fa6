import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { useApi } from "./gateway/api.ts"
import type { Developer } from "./support/developer.ts"
import { eventually } from "./support/eventually.ts"
import { type Relay, startRelay } from "./support/relay.ts"
import { signal } from "./support/stores.ts"

setDefaultTimeout(60_000)

/**
 * Promise 9, for every kind of call, through HTTP: where billing cannot decide the call is 503, soon, and
 * nothing is forwarded or taken. Each answer has the outer bound, and most of them the promised one: where
 * the machine itself stalls no program can answer.
 */
const ANSWER_MS = 500
const ANSWER_MS_MAX = 2_000
const AWAY_MS = 1_500
/** Promised are 2 s. */
const BACK_MS_MAX = 5_000
const BALANCE_FEN = 100_000

let between: Relay | null = null
const { system, upstream, offer, developer, call, balanceOf } = useApi({
  async through({ redisPort, redisUrl }) {
    between = await startRelay(redisPort)
    return { redisUrl: between.through(redisUrl) }
  },
})

function relay(): Relay {
  if (between === null) throw new Error("the relay is there only while tests run")
  return between
}

type Fault = {
  name: string
  /** Whether no call at all can be decided. */
  isWhole: boolean
  /** Breaks it; answers how it comes back. */
  strike(): Promise<() => Promise<void>>
}

function every(intervalMs: number, act: () => void): () => void {
  act()
  const timer = setInterval(act, intervalMs)
  return () => clearInterval(timer)
}

const FAULTS: readonly Fault[] = [
  {
    name: "dead",
    isWhole: true,
    async strike() {
      await system().stores.killRedis()
      return system().stores.restartRedis
    },
  },
  {
    name: "frozen",
    isWhole: true,
    async strike() {
      signal(system().stores.redisPid(), "SIGSTOP")
      return async () => signal(system().stores.redisPid(), "SIGCONT")
    },
  },
  {
    name: "partitioned, without a sign",
    isWhole: false,
    async strike() {
      const stop = every(10, relay().blackHole)
      return async () => stop()
    },
  },
  {
    name: "slow",
    isWhole: false,
    async strike() {
      const stop = every(400, () => {
        relay().release()
        relay().holdReplies()
      })
      return async () => {
        stop()
        relay().release()
      }
    },
  },
]

describe("while Redis is", () => {
  for (const { name, isWhole, strike } of FAULTS) {
    test(`${name}: every call is 503 within 500 ms or paid, none is free, and all goes on by itself`, async () => {
      const path = `/closed/${name.slice(0, 4)}`
      await offer(path)
      const payer = await developer(BALANCE_FEN)
      const taken = { paid: 0, held: 0 }
      const kinds = kindsOf(payer, { path, resolved: await resolvedHold(payer) }, taken)
      const all = async () => {
        for (const ask of kinds) expect((await ask()).code).toBe("")
      }
      await eventually(all)
      const reached = upstream().calls.length

      const comeBack = await strike()
      const struckAt = performance.now()
      const answers: (Answered & { ms: number })[] = []
      const readiness = isWhole ? unreadyAfter(struckAt) : 0
      while (performance.now() - struckAt < AWAY_MS) {
        const asking = kinds.flatMap((ask) => [ask, ask, ask]).map(timed)
        answers.push(...(await Promise.all(asking)))
      }
      const unreadyMs = await readiness
      const forwarded = upstream().calls.length - reached
      await comeBack()
      const backAt = performance.now()
      await eventually(all)
      const backMs = performance.now() - backAt
      await eventually(async () =>
        expect((await system().request("GET", "/readyz")).status).toBe(200),
      )

      const refused = answers.filter(({ status }) => status === 503)
      expect([...new Set(refused.map(({ code }) => code))]).toEqual(["billing_unavailable"])
      const others = new Set(answers.flatMap(({ status }) => (status === 503 ? [] : [status])))
      if (isWhole) expect([[...others], forwarded]).toEqual([[], 0])
      else expect([...others].filter((status) => status >= 300)).toEqual([])
      expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(ANSWER_MS_MAX)
      const late = answers.filter(({ ms }) => ms > ANSWER_MS).length
      expect(late / answers.length).toBeLessThanOrEqual(0.2)
      expect(unreadyMs).toBeLessThan(ANSWER_MS_MAX)
      expect(backMs).toBeLessThan(BACK_MS_MAX)
      // What was answered 503 is put back, and what was paid is paid.
      await eventually(async () => {
        const { balanceFen, heldFen } = await balanceOf(payer)
        expect([balanceFen, heldFen]).toEqual([BALANCE_FEN - taken.paid, taken.held])
      })
    })
  }
})

type Answered = { status: number; code: string }

async function resolvedHold({ key: token }: Developer): Promise<string> {
  const held = await system().request("POST", "/v1/holds", { token, body: { amountFen: 1 } })
  const path = `/v1/holds/${held.body.holdId}/void`
  expect((await system().request("POST", path, { token })).status).toBe(200)
  return held.body.holdId
}

/** Calls of each kind, at one fen each. They count what was answered as taken. */
function kindsOf(
  payer: Developer,
  { path, resolved }: { path: string; resolved: string },
  taken: { paid: number; held: number },
): (() => Promise<Answered>)[] {
  const options = { token: payer.key }
  const body = { interface: "user.login" }
  return [
    async () => {
      const answer = await asked("POST", "/v1/charges", { ...options, body })
      if (answer.status === 200) taken.paid++
      return answer
    },
    async () => {
      const answer = await asked("POST", "/v1/holds", { ...options, body })
      if (answer.status === 201) taken.held++
      return answer
    },
    () => asked("GET", "/v1/balance", options),
    // Of a hold that is resolved already, whatever is said of it is an answer.
    async () => {
      const answer = await asked("POST", `/v1/holds/${resolved}/void`, options)
      return answer.status < 500 ? { status: 200, code: "" } : answer
    },
    async () => {
      const answer = await call(payer, path)
      const text = await answer.text()
      if (answer.ok) taken.paid++
      return { status: answer.status, code: answer.ok ? "" : JSON.parse(text).code }
    },
  ]
}

async function asked(
  ...request: Parameters<ReturnType<typeof system>["request"]>
): Promise<Answered> {
  const { status, body } = await system().request(...request)
  return { status, code: body.code ?? "" }
}

async function timed(ask: () => Promise<Answered>): Promise<Answered & { ms: number }> {
  const startedAt = performance.now()
  const answer = await ask()
  return { ...answer, ms: performance.now() - startedAt }
}

async function unreadyAfter(startedAt: number): Promise<number> {
  await eventually(async () => (await system().request("GET", "/readyz")).status === 503)
  return performance.now() - startedAt
}
