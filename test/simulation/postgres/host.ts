import type { Random } from "../random.ts"
import type { Part, Scheduler } from "../scheduler.ts"
import { emptyState, type PostgresState, SqlError } from "./state.ts"
import { createStatements } from "./statements.ts"

/** What becomes of one statement on its way. */
export type SqlFate = {
  requestMs: number
  replyMs: number
  /** The connection ends before the statement arrives, or after it has committed. */
  cut: null | "request" | "reply"
}

/** Postgres and the network before it. */
export type PostgresHost = {
  state(): PostgresState
  /** A statement of `db/queries`, by the name of its function. */
  run(part: Part | null, name: string, args: readonly unknown[]): Promise<unknown>
  /** Resolves once nobody else has it. Answers how to give it back. */
  lock(part: Part | null): Promise<() => void>
  crash(): void
  start(): void
  pause(forMs: number): void
  backUp(): PostgresState
  restore(backup: PostgresState): void
}

type Deps = {
  scheduler: Scheduler
  random: Random
  nowMs(): number
  fateOf(name: string, args: readonly unknown[], part: Part | null): SqlFate
  /** What the stand-in does not know. */
  onFault(error: unknown): void
}

const DOWN_MS_MAX = 500
const LOCK_POLL_MS = 5

export function createPostgresHost({
  scheduler,
  random,
  nowMs,
  fateOf,
  onFault,
}: Deps): PostgresHost {
  let state = emptyState()
  let isUp = true
  let life = 0
  let servers = 0
  let pausedUntilMs = 0
  let holder: { part: Part | null; life: number } | null = null
  const statements: Readonly<Record<string, unknown>> = createStatements({
    state: () => state,
    nowMs,
  })

  return {
    state: () => state,
    run,
    lock,
    crash() {
      isUp = false
      life++
      pausedUntilMs = 0
    },
    start() {
      isUp = true
      state.server = ++servers
    },
    pause(forMs) {
      pausedUntilMs = Math.max(pausedUntilMs, scheduler.now() + forMs)
    },
    backUp: () => structuredClone(state),
    restore(backup) {
      state = { ...backup, server: ++servers }
    },
  }

  function run(part: Part | null, name: string, args: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const fate = fateOf(name, args, part)
      const sentIn = life
      const back = (settle: () => void, delayMs = fate.replyMs) =>
        scheduler.after(delayMs, settle, part)
      if (!isUp) {
        const refused = () => reject(lost("ECONNREFUSED"))
        back(refused, random.between(1, DOWN_MS_MAX))
        return
      }
      // A statement whose connection was given up may still be on its way.
      const isDelivered = fate.cut !== "request" || random.chance(0.3)
      if (fate.cut === "request") back(() => reject(lost("CONNECTION_CLOSED")), 1)
      scheduler.after(fate.requestMs, arrive, null)

      function arrive(): void {
        if (life !== sentIn) {
          back(() => reject(lost("CONNECTION_CLOSED")), 1)
          return
        }
        if (pausedUntilMs > scheduler.now()) {
          scheduler.after(pausedUntilMs - scheduler.now(), arrive, null)
          return
        }
        if (!isDelivered) return
        const settle = execute(name, args)
        const isLost = fate.cut === "reply"
        back(() => {
          if (isLost || life !== sentIn) reject(lost("CONNECTION_CLOSED"))
          else settle(resolve, reject)
        })
      }
    })
  }

  /** At one moment; how to tell what came of it. */
  function execute(name: string, args: readonly unknown[]) {
    let value: unknown
    let error: unknown = null
    try {
      const statement = statements[name]
      if (typeof statement !== "function") throw new TypeError(`there is no statement ${name}`)
      value = statement(...args)
    } catch (thrown) {
      error = thrown
      // What Postgres raises has a code; anything else is a fault of the stand-in.
      if (!(thrown instanceof SqlError)) onFault(thrown)
    }
    return (resolve: (value: unknown) => void, reject: (error: unknown) => void): void => {
      if (error === null) resolve(value)
      else reject(error)
    }
  }

  async function lock(part: Part | null): Promise<() => void> {
    for (;;) {
      const isFree = holder === null || holder.part?.isDead === true || holder.life !== life
      if (isUp && isFree) break
      await scheduler.sleep(LOCK_POLL_MS + random.next())
    }
    const mine = { part, life }
    holder = mine
    return () => {
      if (holder === mine) holder = null
    }
  }
}

function lost(code: string): Error {
  return Object.assign(new Error(`write ${code} postgres`), { code })
}
