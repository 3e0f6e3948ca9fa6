import { createRandom } from "./random.ts"
import type { Timer } from "./scheduler.ts"
import { onStage } from "./stage.ts"

/**
 * Clocks, timers and chance of this whole process are those of the world on stage. Product code finds
 * them where it always does. A process that runs simulations does nothing else.
 */
export function patchGlobals(): void {
  const set = (target: object, values: Record<string, unknown>) => Object.assign(target, values)
  set(globalThis, {
    setTimeout: (work: Work, delayMs = 1, ...args: unknown[]) =>
      onStage().scheduler.after(Math.max(1, delayMs), () => work(...args)),
    setInterval: startInterval,
    setImmediate: (work: Work, ...args: unknown[]) =>
      onStage().scheduler.after(0, () => work(...args)),
    clearTimeout: cancel,
    clearInterval: cancel,
    clearImmediate: cancel,
  })
  set(Date, { now: () => onStage().wallMs() })
  set(performance, { now: () => onStage().scheduler.now() })
  set(Bun, { sleep: (delayMs: number) => onStage().scheduler.sleep(delayMs) })
  set(Math, { random: () => onStage().random.next() })
}

type Work = (...args: unknown[]) => void

function startInterval(work: Work, intervalMs: number): Timer {
  let timer: Timer
  const again = () => {
    timer = onStage().scheduler.after(Math.max(1, intervalMs), () => {
      again()
      work()
    })
  }
  again()
  return { cancel: () => timer.cancel() }
}

function cancel(timer: Timer | undefined): void {
  timer?.cancel()
}

/**
 * `src/ids.ts` takes its random bytes from a pool, which outlives a world. `randomFillSync` in its place,
 * and a pool that is used up before each world begins, make the ids those of the seed alone.
 */
let random = createRandom(0)
let fills = 0

export function randomFillSync(bytes: Uint8Array): Uint8Array {
  fills++
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random.next() * 256)
  return bytes
}

export function seedIds(seed: number, drawOne: () => void): void {
  random = createRandom(seed)
  for (const before = fills; fills === before; ) drawOne()
}
