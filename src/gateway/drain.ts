import { isLoopback } from "../config.ts"
import type { Health } from "../ledger/ledger.ts"
import {
  DRAIN_MS_MAX,
  DRAIN_POLL_MS,
  DRAIN_QUIET_MS,
  HANDSHAKE_LOOPBACK_MS,
  HANDSHAKE_MS,
} from "../limits.ts"
import { findListener, isMigrating, type Listener } from "./listener.ts"

/** Whether another process took this one's place, or the whole installation stops. */
export type LeaveReason = "replaced" | "stopping"

/** The running server, as far as leaving it goes. */
export type Serving = {
  port?: number | undefined
  pendingRequests: number
  reload(options: { fetch: Fetch; routes: Record<string, never> }): unknown
  stop(closeActiveConnections?: boolean): Promise<void>
}

type Fetch = (request: Request) => Response | Promise<Response>

export type DrainOptions = {
  host: string
  /** How long calls are still taken after it was told to stop, while /readyz says 503 already. */
  noticeMs: number
  log(message: string): void
  /** How long calls in flight may take to end. */
  callsMsMax?: number
  openListener?: (port: number) => Listener | null
}

const STOPPING: Health = {
  status: "unavailable",
  reasons: ["This process is stopping."],
  isPartial: false,
}

/**
 * Takes a gateway process out of service without a failed call:
 * told to stop → /readyz says 503, calls go on → another has its place, or the notice is over →
 * the port is closed, connections stay → each answer says `Connection: close`, so that clients
 * leave by themselves → all have left, or nothing has come for DRAIN_QUIET_MS, or DRAIN_MS_MAX is over.
 */
export function createDrain(options: DrainOptions) {
  const { host, noticeMs, log, callsMsMax = DRAIN_MS_MAX, openListener = findListener } = options
  const handshakeMs = isLoopback(host) ? HANDSHAKE_LOOPBACK_MS : HANDSHAKE_MS
  let isAsked = false

  return {
    /** `unavailable` from the moment at which this process was told to stop. */
    health: async (ask: () => Promise<Health>): Promise<Health> =>
      isAsked ? STOPPING : await ask(),

    async run(app: { server: Serving | null; fetch: Fetch }, leave: () => Promise<LeaveReason>) {
      isAsked = true
      const noticed = Bun.sleep(noticeMs)
      const reason = await leave()
      if (reason === "stopping") await noticed
      const { server } = app
      if (server === null) return
      const listener = openListener(server.port ?? 0)
      if (reason === "replaced" && isMigrating()) listener?.closeNow()
      else await listener?.close({ handshakeMs })
      await sayGoodbye({ server, fetch: app.fetch, listener, callsMsMax })
      if (server.pendingRequests === 0) return
      log(`stopping: ${server.pendingRequests} calls did not end within ${callsMsMax} ms`)
      await server.stop(true)
    },
  }
}

/** Until nobody is connected, or speaks any more. Before it begins, the hot path has no part in it. */
async function sayGoodbye({
  server,
  fetch,
  listener,
  callsMsMax,
}: {
  server: Serving
  fetch: Fetch
  listener: Listener | null
  callsMsMax: number
}): Promise<void> {
  // In polls, each with a turn of the event loop: a stall of this process is no silence of its clients.
  let quietPolls = 0
  const deadlineAt = performance.now() + callsMsMax
  server.reload({
    routes: {},
    async fetch(request) {
      quietPolls = 0
      const answer = await fetch(request)
      answer.headers.set("connection", "close")
      return answer
    },
  })
  if (listener === null) {
    await Bun.sleep(DRAIN_QUIET_MS)
    void server.stop()
  }
  while (performance.now() < deadlineAt) {
    if (listener?.connections() === 0) return
    if (server.pendingRequests > 0) quietPolls = 0
    if (quietPolls * DRAIN_POLL_MS >= DRAIN_QUIET_MS) return
    await Bun.sleep(DRAIN_POLL_MS)
    quietPolls++
  }
}
