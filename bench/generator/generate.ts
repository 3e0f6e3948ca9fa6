import type { HttpAnswer } from "./answer-reader.ts"
import type { Target } from "./connection.ts"
import { createHistogram, type HistogramCounts } from "./histogram.ts"
import { createPool, type Pool } from "./pool.ts"
import { closedLoop, openLoop, type Schedule } from "./schedule.ts"

/**
 * Makes calls and measures them. Without a rate it is a closed loop: each connection makes its next
 * call when it has the answer to its last, so that a server that stalls is asked less. With a rate
 * it is an open loop: a call's latency counts from when it was due, so that none that had to wait,
 * for a connection or for this process, is left out of the figures.
 */
export type Plan = {
  targets: readonly Target[]
  /** Whole requests, taken in turn. */
  requests: readonly Uint8Array[]
  connections: number
  seconds: number
  /** Null: a closed loop. */
  callsPerSecond: number | null
  /** How long an answer may take, a call wait for a connection, or all of them to be made. */
  timeoutMs: number
}

/** What becomes of calls, by the place of their request. */
export type Observer = {
  answered(place: number, answer: HttpAnswer, micros: number): void
  /** Sent, and without an answer: it may have run. */
  lost(place: number): void
}

export type Generated = {
  answers: number
  lost: number
  /** Due, and never sent, because no connection came free in time. */
  unsent: number
  /** Connections that broke with a call under way, or could not be made again. */
  broken: number
  /** The time in which new calls were made. */
  seconds: number
  /** Answers within that time; those that came behind it are not in it. */
  callsPerSecond: number
  latency: HistogramCounts
  /** How late calls were sent. */
  lateness: HistogramCounts
}

export type Generator = {
  finished: Promise<Generated>
  /** Makes no new calls; `finished` resolves when those under way have their answers. */
  stop(): void
}

/** The finest that timers have; what is due is also sent whenever a connection becomes free. */
const TICK_MS = 1
const GIVE_UP_POLL_MS = 100

export function startGenerator(plan: Plan, observer: Observer): Generator {
  const { timeoutMs } = plan
  const figures = createFigures(observer)
  let endAt = Number.POSITIVE_INFINITY
  let schedule: Schedule | null = null
  const pool = createPool(plan, {
    freed: () => schedule && begin(schedule),
    answered: ({ place, dueAt }, answer) => figures.answered({ place, dueAt, endAt }, answer),
    lost: ({ place }) => figures.lost(place),
  })
  return { finished: run().finally(pool.close), stop: () => void (endAt = performance.now()) }

  async function run(): Promise<Generated> {
    await pool.ready
    const startAt = performance.now()
    endAt = Math.min(endAt, startAt + plan.seconds * 1_000)
    const due = scheduleOf(plan, { startAt, endAt: () => endAt })
    schedule = due
    const overdue = setInterval(() => pool.giveUp(performance.now() - timeoutMs), GIVE_UP_POLL_MS)
    while (begin(due) || pool.underWay() > 0) await Bun.sleep(TICK_MS)
    clearInterval(overdue)
    const seconds = Math.max(0, endAt - startAt) / 1_000
    return { ...figures.read(seconds), broken: pool.broken() }
  }

  /** Sends what is due on the connections that are free; false: nothing more becomes due. */
  function begin(due: Schedule): boolean {
    for (;;) {
      const now = performance.now()
      const dueAt = due.nextDue(now)
      if (dueAt === null) return false
      if (dueAt > now) return true
      if (now - dueAt > timeoutMs) {
        due.take(0)
        figures.unsent()
      } else if (!sendOne(pool, due, { dueAt, now })) return true
    }
  }

  function sendOne(free: Pool, due: Schedule, { dueAt, now }: { dueAt: number; now: number }) {
    const connection = free.takeFree()
    if (connection === null) return false
    const place = due.take(connection)
    const request = plan.requests[place]
    if (request === undefined) throw new RangeError(`there is no request ${place}`)
    figures.sent(now - dueAt)
    free.send(connection, request, { place, dueAt })
    return true
  }
}

function scheduleOf(
  { requests, connections, callsPerSecond }: Plan,
  times: { startAt: number; endAt(): number },
): Schedule {
  const options = { requests: requests.length, ...times }
  return callsPerSecond === null
    ? closedLoop({ ...options, connections })
    : openLoop({ ...options, callsPerSecond })
}

function createFigures(observer: Observer) {
  const latency = createHistogram()
  const lateness = createHistogram()
  const counts = { answers: 0, timely: 0, lost: 0, unsent: 0 }
  return {
    sent: (lateMs: number) => lateness.record(lateMs * 1_000),
    unsent: () => void counts.unsent++,
    answered(call: { place: number; dueAt: number; endAt: number }, answer: HttpAnswer): void {
      const now = performance.now()
      const micros = (now - call.dueAt) * 1_000
      counts.answers++
      if (now <= call.endAt) counts.timely++
      latency.record(micros)
      observer.answered(call.place, answer, micros)
    },
    lost(place: number): void {
      counts.lost++
      observer.lost(place)
    },
    read(seconds: number): Omit<Generated, "broken"> {
      const { answers, timely, lost, unsent } = counts
      return {
        ...{ answers, lost, unsent, seconds },
        callsPerSecond: seconds === 0 ? 0 : timely / seconds,
        latency: latency.snapshot(),
        lateness: lateness.snapshot(),
      }
    },
  }
}
