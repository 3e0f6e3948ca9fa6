import { closeSync, openSync } from "node:fs"
import { join } from "node:path"
import { endsWithParent, lastLineOf, stopChild } from "../src/embedded/processes.ts"
import { STOP_TIMEOUT_MS } from "../src/limits.ts"

export type Program = { pid: number; log: string; hasExited(): boolean; stop(): Promise<void> }

const READY_TIMEOUT_MS = 15_000

/** A process as an operator would start it, with its output in a log. */
export function startProgram(
  command: readonly string[],
  { dir, name, env }: { dir: string; name: string; env: Record<string, string> },
): Program {
  const log = join(dir, `${name}.log`)
  const output = openSync(log, "a")
  const child = Bun.spawn([...endsWithParent("TERM"), ...command], {
    cwd: dir,
    env: { PATH: process.env.PATH ?? "", TZ: "UTC", ...env },
    // A terminal's Ctrl-C must not reach it before it is stopped in order.
    detached: true,
    stdin: "ignore",
    stdout: output,
    stderr: output,
  })
  closeSync(output)
  return {
    pid: child.pid,
    log,
    hasExited: () => child.exitCode !== null || child.signalCode !== null,
    stop: () => stopChild(child, { signal: "SIGTERM", timeoutMs: STOP_TIMEOUT_MS }),
  }
}

/** Resolves once `url` answers as a server that is up does; else stops the program and rejects. */
export async function answering(
  program: Program,
  { url, isUp }: { url: string; isUp(status: number): boolean },
): Promise<void> {
  const deadlineAt = performance.now() + READY_TIMEOUT_MS
  for (;;) {
    // Refused until it listens, which is what is being waited for.
    const response = await fetch(url).catch(() => null)
    if (response !== null && isUp(response.status)) return
    if (program.hasExited() || performance.now() > deadlineAt) {
      await program.stop()
      throw new Error(`${url} did not become ready: ${lastLineOf(program.log)}`)
    }
    await Bun.sleep(20)
  }
}
