import type { Running } from "./embedded/processes.ts"
import { messageOf } from "./ticker.ts"

/** A program that is started again whenever it ends by itself, until it is stopped. */
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
export async function keepRunning<Program extends Running>(
  options: Options<Program>,
): Promise<Restarted<Program>> {
  let program = await options.start()
  const stopping = Promise.withResolvers<"stopping">()

  async function watch(): Promise<string> {
    for (let quickEnds = 0; ; ) {
      const startedAt = Date.now()
      const end = await Promise.race([program.exited, stopping.promise])
      if (end === "stopping") return "stopped"
      quickEnds = Date.now() - startedAt > STEADY_MS ? 0 : quickEnds + 1
      options.report(`${options.name} (process ${program.pid}) ended by itself: starting it again.`)
      const started = await startAgain(options, { quickEnds, stopping: stopping.promise })
      if (typeof started === "string") return started
      program = started
    }
  }

  const watched = watch()
  return {
    current: () => program,
    lost: watched,
    async stop() {
      stopping.resolve("stopping")
      await watched
      await program.stop()
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
