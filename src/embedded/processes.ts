import { execFileSync } from "node:child_process"
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync } from "node:fs"
import { createServer } from "node:net"
import { delimiter, join } from "node:path"

/** What the stores need of the operating system: processes, ports and logs. */

/** A start that cannot go on. Its message is the whole sentence that the operator reads. */
export class StartRefused extends Error {}

export type Exit = Promise<number | null>

/** A program that this one has started, until it exits. */
export type Running = { pid: number; exited: Exit; stop(): Promise<void> }

const LOG_BYTES_MAX = 10 * 1_048_576
// Below the ports that clients are given: while a server is down, a client that reconnects from
// its own port number would be connected to itself, and hold the port for ever.
const PORT_FIRST = 15_000
const PORT_COUNT = 17_000
const givenPorts = new Set<number>()

/** The command line of a process, or null when there is none (a zombie has none either). */
export function commandOf(pid: number): string | null {
  if (!Number.isSafeInteger(pid) || pid <= 0) return null
  const command =
    process.platform === "linux"
      ? readIfThere(`/proc/${pid}/cmdline`)?.replaceAll("\0", " ")
      : askPs(pid, "command=")
  return command?.trim() || null
}

/** When a process began: with its pid, what tells it from a later one that got the same pid. */
export function beginningOf(pid: number): string | null {
  if (commandOf(pid) === null) return null
  if (process.platform !== "linux") return askPs(pid, "lstart=")?.trim() ?? null
  const stat = readIfThere(`/proc/${pid}/stat`)
  // The name, in brackets, may hold spaces and brackets itself; field 22 is the start time.
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null
}

/** Text of a file, or null where there is none. */
export function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    // A process may end between opening and reading its entry: ESRCH.
    if (["ENOENT", "ESRCH", "ENOTDIR"].includes(codeOf(error))) return null
    throw error
  }
}

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : ""
}

/** Ends a process that an earlier run left behind, if its command line still names `path`. */
export async function stopLeftover(options: {
  pid: number
  path: string
  signal: NodeJS.Signals
  timeoutMs: number
}): Promise<void> {
  const { pid, path, signal, timeoutMs } = options
  const isOurs = (): boolean => commandOf(pid)?.includes(path) ?? false
  if (!isOurs()) return
  process.kill(pid, signal)
  if (await holds(() => !isOurs(), timeoutMs)) return
  process.kill(pid, "SIGKILL")
  if (!(await holds(() => !isOurs(), timeoutMs))) {
    throw new StartRefused(`Process ${pid}, left by an earlier run, does not end: end it by hand.`)
  }
}

export async function stopChild(
  child: { kill(signal: NodeJS.Signals): void; exited: Promise<unknown> },
  options: { signal: NodeJS.Signals; timeoutMs: number },
): Promise<void> {
  child.kill(options.signal)
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs)
  await child.exited
  clearTimeout(timer)
}

/** Polls until the condition holds; false when it did not within the time. */
export async function holds(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    if (await condition()) return true
    if (Date.now() >= deadline) return false
    await Bun.sleep(5)
  }
}

/**
 * Begins a command that ends with its parent, however that ends. The kernel sends the signal when
 * the thread that spawned the child exits; Bun spawns from its main thread.
 */
export function endsWithParent(signal: "INT" | "TERM"): readonly string[] {
  const setpriv = programOnPath("setpriv")
  return setpriv === null ? [] : [setpriv, `--pdeathsig=${signal}`]
}

export function programOnPath(name: string): string | null {
  const folders = (process.env.PATH ?? "").split(delimiter)
  return folders.map((folder) => join(folder, name)).find(existsSync) ?? null
}

/** A port on loopback that nothing listens on; never the same one twice. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORT_FIRST + Math.floor(Math.random() * PORT_COUNT)
    if (givenPorts.has(port)) continue
    givenPorts.add(port)
    if ((await bindError({ host: "127.0.0.1", port })) === null) return port
  }
}

/** Why nothing can listen there, as a code of the system, or null when the port is free. */
export function bindError(address: { host: string; port: number }): Promise<string | null> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once("error", (error) => resolve(codeOf(error)))
    server.listen({ ...address, exclusive: true }, () => server.close(() => resolve(null)))
  })
}

/** Opens a log to append to; one that has grown is set aside first, so that two are kept. */
export function openLog(path: string): number {
  if (existsSync(path) && statSync(path).size > LOG_BYTES_MAX) renameSync(path, `${path}.1`)
  return openSync(path, "a", 0o600)
}

export function lastLineOf(path: string): string {
  return readIfThere(path)?.trimEnd().split("\n").at(-1) ?? ""
}

/** The child's standard output and error go to its log; nothing of our environment to the child. */
export function spawnServer(command: readonly string[], options: { dir: string; log: string }) {
  const log = openLog(options.log)
  try {
    return Bun.spawn([...command], {
      cwd: options.dir,
      env: { PATH: process.env.PATH ?? "", LC_ALL: "C", TZ: "UTC" },
      // A terminal's Ctrl-C must not reach it before we stop it in order.
      detached: true,
      stdin: "ignore",
      stdout: log,
      stderr: log,
    })
  } finally {
    closeSync(log)
  }
}

function askPs(pid: number, column: string): string | null {
  try {
    return execFileSync("ps", ["-o", column, "-p", String(pid)], { encoding: "utf8" })
  } catch {
    // ps answers 1 when there is no such process.
    return null
  }
}
