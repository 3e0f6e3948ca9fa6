import { fileURLToPath } from "node:url"
import { endsWithParent, type Running, StartRefused, stopChild } from "./embedded/processes.ts"
import { STOP_TIMEOUT_MS } from "./limits.ts"

export const ROLES = ["gateway", "flusher"] as const
export type Role = (typeof ROLES)[number]

/** What a role's process tells the supervisor once it can work. */
export const READY = "ready"

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url))

/** Starts a process of this program in a role, and resolves when it is ready. */
export async function startRole(role: Role, env: NodeJS.ProcessEnv): Promise<Running> {
  const ready = Promise.withResolvers<typeof READY>()
  const child = Bun.spawn([...endsWithParent("TERM"), process.execPath, MAIN, role], {
    env,
    // A terminal's Ctrl-C must reach the supervisor alone, which stops the roles in order.
    detached: true,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    ipc(message) {
      if (message === READY) ready.resolve(READY)
    },
  })
  if ((await Promise.race([ready.promise, child.exited])) !== READY) {
    throw new StartRefused(`The ${role} did not start.`)
  }
  return {
    pid: child.pid,
    exited: child.exited,
    stop: () => stopChild(child, { signal: "SIGTERM", timeoutMs: STOP_TIMEOUT_MS }),
  }
}
