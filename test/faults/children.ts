import { closeSync, openSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { endsWithParent } from "../../src/embedded/processes.ts"
import type { Breakable } from "./servers.ts"
import { signalAll } from "./servers.ts"

/**
 * A process of Fengate. As under its supervisor, it is started again when it ends by itself, for
 * instance because it was started while a store was away; where a test has killed it, only the test
 * starts it again.
 */
export type Child = Breakable & {
  /** How often it ended by itself. */
  ownEnds(): number
  /** The last lines that it wrote. */
  lastWords(): string
  /** Lines of its log since the last time that this was asked. */
  news(): string[]
  /** Asks it to end, and waits. */
  end(): Promise<void>
}

const AGAIN_MS = 250
const WORDS_MAX = 12

export type ChildOptions = {
  name: string
  command: readonly string[]
  env: Record<string, string>
  dir: string
}

export function createChild({ name, command, env, dir }: ChildOptions): Child {
  const log = join(dir, `${name}.log`)
  let child: ReturnType<typeof launch> | null = null
  let isWanted = false
  let ends = 0
  let read = 0
  const pids = () => (child === null ? [] : [child.pid])
  return {
    ...{ name, pids, kill, start, end, lastWords, news },
    freeze: () => signalAll(pids(), "SIGSTOP"),
    thaw: () => signalAll(pids(), "SIGCONT"),
    ownEnds: () => ends,
  }

  function launch() {
    const output = openSync(log, "a")
    const launched = Bun.spawn([...endsWithParent("TERM"), ...command], {
      env: { PATH: process.env.PATH ?? "", TZ: "UTC", ...env },
      ...({ detached: true, stdin: "ignore", stdout: output, stderr: output } as const),
    })
    closeSync(output)
    void launched.exited.then(() => followUp(launched))
    return launched
  }

  async function followUp(ended: ReturnType<typeof launch>): Promise<void> {
    if (child !== ended) return
    child = null
    if (!isWanted) return
    ends++
    await Bun.sleep(AGAIN_MS)
    if (isWanted && child === null) child = launch()
  }

  async function start(): Promise<void> {
    isWanted = true
    child ??= launch()
  }

  async function kill(): Promise<void> {
    isWanted = false
    const killed = child
    signalAll(pids(), "SIGKILL")
    await killed?.exited
  }

  async function end(): Promise<void> {
    isWanted = false
    const ended = child
    signalAll(pids(), "SIGCONT")
    signalAll(pids(), "SIGTERM")
    const timer = setTimeout(() => ended?.kill("SIGKILL"), 5_000)
    await ended?.exited
    clearTimeout(timer)
  }

  function lines(): string[] {
    return readFileSync(log, "utf8").trimEnd().split("\n")
  }

  function lastWords(): string {
    return lines().slice(-WORDS_MAX).join("\n")
  }

  function news(): string[] {
    const all = lines()
    const fresh = all.slice(read)
    read = all.length
    return fresh
  }
}
