import { percent, whole } from "../table.ts"
import type { LiveFigures, RunningLoad } from "./load.ts"

const LIVE_MS = 500
/** Where nobody watches, a line now and then is enough. */
const LOG_MS = 5_000
/** Of a terminal that does not say how wide it is. */
const COLUMNS = 120

/** Shows how a load goes until it has ended: one line that changes, or one every few seconds. */
export function showProgress(load: RunningLoad): { stop(): void } {
  const isInteractive = process.stdout.isTTY
  const startedAt = performance.now()
  const timer = setInterval(
    () => {
      const line = describe(load.live(), (performance.now() - startedAt) / 1_000)
      if (isInteractive) write(`\r\x1b[K${line.slice(0, (process.stdout.columns || COLUMNS) - 1)}`)
      else write(`${line}\n`)
    },
    isInteractive ? LIVE_MS : LOG_MS,
  )
  return {
    stop() {
      clearInterval(timer)
      if (isInteractive) write("\r\x1b[K")
    },
  }
}

function describe({ accepted, refused, lost, last, codes }: LiveFigures, seconds: number): string {
  const now =
    last === null
      ? ""
      : `${whole(last.accepted + last.refused)} calls/s, p50 ${last.p50Ms.toFixed(1)} p99 ${last.p99Ms.toFixed(1)} ms, `
  const reasons = [...codes].map(([code, count]) => `${whole(count)} ${code}`)
  const share = percent(refused / Math.max(1, accepted + refused), 1)
  const refusals = refused === 0 ? "none refused" : `${share} refused (${reasons.join(", ")})`
  return `${seconds.toFixed(0).padStart(4)} s  ${now}${whole(accepted)} accepted, ${refusals}, ${lost} lost`
}

function write(text: string): void {
  process.stdout.write(text)
}
