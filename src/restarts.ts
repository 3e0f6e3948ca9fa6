import type { Running } from "./embedded/processes.ts"
import { messageOf } from "./ticker.ts"

/** A program that, asked to stop by somebody else, goes on until another is in its place. */
export type Replaceable = Running & {
  /** Resolves when it was asked. */
  leaving: Promise<"leaving">
  /** Lets it leave, now that the other one works. */
  stopReplaced(): Promise<void>
}

/**
 * A program that is started again whenever it ends by itself, until it is stopped:
 * running → (ended) → waiting → starting → running, or
 * running → (leaving) → starting beside it → running, while the old one leaves.
 */
export type Restarted<Program extends Running> = {
  current(): Program
  /** Resolves with a sentence once the program could not be started again. */
  lost: Promise<string>
  stop(): Promise<void>
}

type Options<Program extends Running> = {
  name: string
  start(): Promise<Program>
  report(sentence: string): void
  /** How many failed starts in a row are too many. */
  failuresMax: number
}

const WAIT_MS_MIN = 100
const WAIT_MS_MAX = 5_000
/** A program that ran this long had started well: the next wait is the shortest again. */
const STEADY_MS = 10_000

/** The first start may fail: its error is the caller's. */
export async function keepRunning<Program extends Running & Partial<Replaceable>>(
  options: Options<Program>,
): Promise<Restarted<Program>> {
  let program = await options.start()
  const departing = new Set<Promise<void>>()
  const stopping = Promise.withResolvers<"stopping">()

  async function watch(): Promise<string> {
    for (let quickEnds = 0; ; ) {
      const startedAt = Date.now()
      const ends = [program.exited, stopping.promise, ...(program.leaving ? [program.leaving] : [])]
      const end = await Promise.race(ends)
      if (end === "stopping") return "stopped"
      const isLeaving = end === "leaving"
      quickEnds = isLeaving || Date.now() - startedAt > STEADY_MS ? 0 : quickEnds + 1
      const what = isLeaving
        ? "was told to stop: starting another in its place."
        : "ended by itself: starting it again."
      options.report(`${options.name} (process ${program.pid}) ${what}`)
      const started = await startAgain(options, { quickEnds, stopping: stopping.promise })
      if (typeof started === "string") return started
      if (isLeaving) dismiss(program)
      program = started
    }
  }

  function dismiss({ stopReplaced }: Program): void {
    if (stopReplaced === undefined) return
    const left = stopReplaced().finally(() => departing.delete(left))
    departing.add(left)
  }

  const watched = watch()
  return {
    current: () => program,
    lost: watched,
    async stop() {
      stopping.resolve("stopping")
      await watched
      await Promise.all([program.stop(), ...departing])
    },
  }
}

/** The new program, or a sentence that says why there is none. */
async function startAgain<Program extends Running>(
  { name, start, report, failuresMax }: Options<Program>,
  { quickEnds, stopping }: { quickEnds: number; stopping: Promise<"stopping"> },
): Promise<Program | string> {
  for (let attempt = 1; ; attempt++) {
    const waitMs = Math.min(WAIT_MS_MAX, WAIT_MS_MIN * 2 ** (quickEnds + attempt - 2))
    if ((await Promise.race([stopping, Bun.sleep(waitMs)])) === "stopping") return "stopped"
    try {
      return await start()
    } catch (error) {
      if (attempt >= failuresMax) return `${name} could not be started again: ${messageOf(error)}`
      report(messageOf(error))
    }
  }
}

/** Waits for all; where one does not start, the others do not stay. */
export async function allOrNone(
  starts: readonly Promise<{ stop(): Promise<void> }>[],
): Promise<void> {
  const settled = await Promise.allSettled(starts)
  const failed = settled.find((start) => start.status === "rejected")
  if (failed === undefined) return
  const started = settled.filter((start) => start.status === "fulfilled")
  await Promise.all(started.map((start) => start.value.stop()))
  throw failed.reason
}
