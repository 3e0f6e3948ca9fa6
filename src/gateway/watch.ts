import { WATCH_INTERVAL_MS } from "../limits.ts"

/** Why a call was ended before its upstream had answered. */
export type EndReason = "upstream_timeout" | "caller_gone" | "body_too_large"

/** A call whose upstream has not answered yet. */
export type Watched = {
  request: Request
  /** Ends the call of the upstream. */
  controller: AbortController
  deadlineAt: number
  endedBecause: EndReason | null
  hasListener: boolean
}

/**
 * Ends calls whose time is over or whose caller has hung up. One timer looks at all of them, and
 * only a call that it finds waiting gets a listener for its caller: most are answered before, and a
 * timer and a listener for each would cost as much as all else that is done for them.
 */
export function createWatch() {
  const calls = new Set<Watched>()
  let timer: ReturnType<typeof setInterval> | null = null
  return { begin, end, over, stop }

  function begin(request: Request, timeoutMs: number): Watched {
    const call: Watched = {
      request,
      controller: new AbortController(),
      deadlineAt: performance.now() + timeoutMs,
      endedBecause: null,
      hasListener: false,
    }
    calls.add(call)
    timer ??= setInterval(look, WATCH_INTERVAL_MS)
    return call
  }

  /** The upstream is told to stop; the first reason stays. */
  function end(call: Watched, reason: EndReason): void {
    call.endedBecause ??= reason
    call.controller.abort()
  }

  /** The upstream has answered, or failed to. */
  function over(call: Watched): void {
    calls.delete(call)
  }

  function look(): void {
    if (calls.size === 0) stop()
    const nowAt = performance.now()
    for (const call of calls) {
      if (nowAt >= call.deadlineAt) end(call, "upstream_timeout")
      else if (!call.hasListener) listen(call)
    }
  }

  function listen(call: Watched): void {
    call.hasListener = true
    const { signal } = call.request
    if (signal.aborted) end(call, "caller_gone")
    else signal.addEventListener("abort", () => end(call, "caller_gone"), { once: true })
  }

  function stop(): void {
    if (timer !== null) clearInterval(timer)
    timer = null
  }
}

export type Watch = ReturnType<typeof createWatch>
