import { fileURLToPath } from "node:url"
import { endsWithParent, StartRefused, stopChild } from "./embedded/processes.ts"
import type { LeaveReason } from "./gateway/drain.ts"
import type { Gathering } from "./gathering.ts"
import { GATEWAY_STOP_TIMEOUT_MS, STOP_TIMEOUT_MS } from "./limits.ts"
import { FromRole, readMessage, type ToRole } from "./messages.ts"
import { passOnRedacted } from "./redact.ts"
import type { Replaceable } from "./restarts.ts"

export const ROLES = ["gateway", "flusher"] as const
export type Role = (typeof ROLES)[number]

/** Bun sends 256 requests at a time to upstreams unless it is told otherwise before it starts. */
export const UPSTREAM_CALLS = { BUN_CONFIG_MAX_HTTP_REQUESTS: "65336" } as const

const STOP_TIMEOUTS_MS = { gateway: GATEWAY_STOP_TIMEOUT_MS, flusher: STOP_TIMEOUT_MS } as const
const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url))

/** Starts a process of this program in a role, and resolves when it is ready. */
export async function startRole(
  role: Role,
  { env, gathering }: { env: NodeJS.ProcessEnv; gathering: Gathering },
): Promise<Replaceable> {
  const ready = Promise.withResolvers<"ready">()
  const leaving = Promise.withResolvers<"leaving">()
  let isConnected = true
  const child = Bun.spawn([...endsWithParent("TERM"), process.execPath, MAIN, role], {
    env,
    // A terminal's Ctrl-C must reach the supervisor alone, which stops the roles in order.
    detached: true,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "pipe",
    ipc: (message) => void hear(readMessage(FromRole, message)),
    onDisconnect() {
      isConnected = false
    },
  })
  void passOnRedacted(child.stderr, (text) => process.stderr.write(text))
  const tell = (message: ToRole): void => {
    if (isConnected) child.send(message)
  }
  const figures =
    role === "gateway"
      ? gathering.join((question) => tell({ type: "tell_figures", question }))
      : null
  const exited = child.exited.finally(() => figures?.ended())
  if ((await Promise.race([ready.promise, exited])) !== "ready") {
    throw new StartRefused(`The ${role} did not start.`)
  }
  return {
    pid: child.pid,
    exited,
    leaving: leaving.promise,
    stop: () => stop("stopping"),
    stopReplaced: () => stop("replaced"),
  }

  function stop(reason: LeaveReason): Promise<void> {
    tell({ type: "leave", reason })
    return stopChild(child, { signal: "SIGTERM", timeoutMs: STOP_TIMEOUTS_MS[role] })
  }

  async function hear(message: FromRole): Promise<void> {
    switch (message.type) {
      case "ready":
        return ready.resolve("ready")
      case "leaving":
        return leaving.resolve("leaving")
      case "figures":
        return figures?.heard(message.question, message.figures)
      case "gather": {
        const { question } = message
        return tell({ type: "gathered", question, ...(await gathering.gather()) })
      }
    }
  }
}
