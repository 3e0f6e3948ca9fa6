import { drainMicrotasks } from "bun:jsc"

/**
 * Time that passes only when nothing is left to do. Whatever happens is an event, at a moment, of one
 * part of the world; between two events all promises that can go on do so. So the order of everything is
 * a function of what the events are, and nothing else.
 */

/** A process of the simulated world; `null` in its place is the world itself, which never ends. */
export type Part = { name: string; isDead: boolean; pausedUntilMs: number }

type Event = { atMs: number; order: number; part: Part | null; run: (() => void) | null }
export type Timer = { cancel(): void }

export type Scheduler = {
  /** Milliseconds since the world began. */
  now(): number
  /** Whose event this is. */
  current(): Part | null
  /** Once the time has come; never where the part has died by then. */
  after(delayMs: number, run: () => void, part?: Part | null): Timer
  /** A promise of the part that is current. */
  sleep(delayMs: number): Promise<void>
  /** Runs events until `isOver`, or until nothing is left to happen. Answers how many there were. */
  run(isOver: () => boolean): number
}

export function createScheduler(onError: (error: unknown) => void): Scheduler {
  const heap: Event[] = []
  let now = 0
  let orders = 0
  let current: Part | null = null
  return { now: () => now, current: () => current, after, sleep, run }

  function after(delayMs: number, work: () => void, part: Part | null = current): Timer {
    const event: Event = { atMs: now + Math.max(0, delayMs), order: orders++, part, run: work }
    push(event)
    return {
      cancel() {
        event.run = null
      },
    }
  }

  function sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => after(delayMs, resolve))
  }

  function run(isOver: () => boolean): number {
    let count = 0
    drainMicrotasks()
    while (!isOver()) {
      const event = pop()
      if (event === undefined) break
      if (event.run === null || event.part?.isDead === true) continue
      now = Math.max(now, event.atMs)
      // What is due while a process is frozen happens once it goes on, in the same order.
      if (event.part !== null && event.part.pausedUntilMs > now) {
        event.atMs = event.part.pausedUntilMs
        event.order = orders++
        push(event)
        continue
      }
      count++
      perform(event, event.run)
    }
    return count
  }

  function perform(event: Event, work: () => void): void {
    current = event.part
    try {
      work()
      drainMicrotasks()
    } catch (error) {
      onError(error)
    }
    current = null
  }

  function isBefore(left: Event, right: Event): boolean {
    return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order)
  }

  function push(event: Event): void {
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = heap[up]
      if (parent === undefined || isBefore(parent, event)) break
      heap[at] = parent
      at = up
    }
    heap[at] = event
  }

  function pop(): Event | undefined {
    const [first] = heap
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]]
      if (left === undefined) break
      const isRight = right !== undefined && isBefore(right, left)
      const child = isRight ? right : left
      if (isBefore(last, child)) break
      heap[at] = child
      at = 2 * at + (isRight ? 2 : 1)
    }
    heap[at] = last
    return first
  }
}
