/**
 * Does a piece of background work again and again, never two at once, with a pause between. What it
 * throws is told to `onError` and it goes on; `stop` waits for the work that is under way.
 */
export function startTicker({
  intervalMs,
  work,
  onError,
}: {
  intervalMs: number
  work(): Promise<void>
  onError(error: unknown): void
}): { stop(): Promise<void> } {
  let isStopping = false
  let timer: ReturnType<typeof setTimeout> | undefined
  let running: Promise<void> = Promise.resolve()
  schedule()
  return { stop }

  function schedule(): void {
    if (isStopping) return
    timer = setTimeout(() => {
      running = work().catch(onError).then(schedule)
    }, intervalMs)
  }

  async function stop(): Promise<void> {
    isStopping = true
    clearTimeout(timer)
    await running
  }
}

/** What an error says, for a log line. Never for a client. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
