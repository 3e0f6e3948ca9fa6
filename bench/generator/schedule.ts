/** Says which call is to be begun, and when it was due. */
export type Schedule = {
  /** When the next call is due, as a time of `performance.now`; null: there are no more. */
  nextDue(now: number): number | null
  /** Takes it off the schedule: the place of its request, on this connection. */
  take(connection: number): number
}

type Options = { requests: number; startAt: number; endAt(): number }

/** A call is due whenever a connection is free, until the end; each has requests of its own. */
export function closedLoop({
  requests,
  connections,
  endAt,
}: Options & { connections: number }): Schedule {
  const places = Array.from({ length: connections }, (_, connection) => connection % requests)
  return {
    nextDue: (now) => (now < endAt() ? now : null),
    take(connection) {
      const place = places[connection] ?? 0
      const next = place + connections
      places[connection] = next < requests ? next : connection % requests
      return place
    },
  }
}

/** Call n is due n / rate after the start, whatever becomes of those before it. */
export function openLoop({
  requests,
  callsPerSecond,
  startAt,
  endAt,
}: Options & { callsPerSecond: number }): Schedule {
  let taken = 0
  return {
    nextDue() {
      const dueAt = startAt + (taken * 1_000) / callsPerSecond
      return dueAt < endAt() ? dueAt : null
    },
    take: () => taken++ % requests,
  }
}
