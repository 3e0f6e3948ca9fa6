import type { Part, Scheduler } from "./scheduler.ts"

/** A process of the world, which is started again when it has ended. */
export type Process<Running> = {
  name: string
  /** Null while it does not run. */
  running(): Running | null
  part(): Part | null
  /** When it was last frozen until. */
  pausedUntilMs(): number
  /** Ends it at once; what it was doing is not finished. */
  crash(downMs: number): void
  pause(forMs: number): void
  /** Asks it to stop, and starts it again once it has. */
  stop(downMs: number): void
  /** Told when it has died, with all that it was doing. Answers how to be told no more. */
  onDeath(listener: () => void): () => void
}

type Deps<Running> = {
  scheduler: Scheduler
  name: string
  start(): Promise<Running>
  stop(running: Running): Promise<void>
  /** What dies with it. */
  onCrash(part: Part): void
  note(line: string): void
}

const RESTART_MS = 300
const STOP_MS_MAX = 10_000

export function runProcess<Running>(deps: Deps<Running>): Process<Running> {
  const { scheduler, name, note } = deps
  let part: Part | null = null
  let running: Running | null = null
  let lives = 0
  let pausedUntilMs = 0
  const mourners = new Set<() => void>()
  begin(0)
  return {
    name,
    running: () => running,
    part: () => part,
    pausedUntilMs: () => pausedUntilMs,
    crash,
    pause(forMs) {
      if (part === null) return
      pausedUntilMs = Math.max(pausedUntilMs, scheduler.now() + forMs)
      part.pausedUntilMs = pausedUntilMs
    },
    stop,
    onDeath(listener) {
      mourners.add(listener)
      return () => void mourners.delete(listener)
    },
  }

  function begin(delayMs: number): void {
    const life: Part = { name: `${name}.${++lives}`, isDead: false, pausedUntilMs: 0 }
    part = life
    const work = () => {
      deps.start().then(
        (value) => {
          if (part === life) running = value
        },
        (error: unknown) => {
          note(`${life.name} does not start: ${String(error)}`)
          scheduler.after(0, () => end(life, RESTART_MS), null)
        },
      )
    }
    scheduler.after(delayMs, work, life)
  }

  function crash(downMs: number): void {
    if (part !== null) end(part, downMs)
  }

  function end(life: Part, downMs: number): void {
    if (life.isDead) return
    life.isDead = true
    deps.onCrash(life)
    if (part !== life) return
    part = null
    running = null
    for (const tell of [...mourners]) tell()
    scheduler.after(downMs, () => begin(0), null)
  }

  function stop(downMs: number): void {
    const [life, value] = [part, running]
    if (life === null || value === null) return
    running = null
    scheduler.after(
      0,
      () =>
        void deps.stop(value).then(
          () => gone(),
          () => gone(),
        ),
      life,
    )
    const gone = () => scheduler.after(0, () => end(life, downMs), null)
    scheduler.after(STOP_MS_MAX, () => end(life, downMs), null)
  }
}
