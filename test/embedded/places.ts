import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { programOnPath } from "../../src/embedded/processes.ts"

type Program = { pid: number; exited: Promise<unknown> }

/** Directories and processes of a test, gone after it. */
export function createPlaces() {
  const dirs: string[] = []
  const programs: Program[] = []

  /** A directory that nobody else may enter. */
  function make(): string {
    const dir = mkdtempSync(join(tmpdir(), "fengate-embedded-"))
    dirs.push(dir)
    return dir
  }

  /** A folder for PATH, in which there is nothing but these programs. */
  function makePath(...names: string[]): string {
    const folder = join(make(), "bin")
    mkdirSync(folder)
    for (const name of names) symlinkSync(programOnPath(name) ?? name, join(folder, name))
    return folder
  }

  function add<Added extends Program>(program: Added): Added {
    programs.push(program)
    return program
  }

  async function clear(): Promise<void> {
    for (const { pid } of programs) killIfThere(pid)
    await Promise.all(programs.splice(0).map(({ exited }) => exited))
    for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true })
  }

  return { make, makePath, add, clear }
}

export function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It has ended already: there is nothing to do.
  }
}

const LEAVE = Bun.fileURLToPath(new URL("./leave.ts", import.meta.url))

/** A store whose parent was killed with no time to stop it. */
export async function startAndKill(options: {
  what: "redis" | "postgres"
  dir: string
  path: string | undefined
}): Promise<{ url: string; pid: number }> {
  const parent = Bun.spawn([process.execPath, LEAVE, options.what, options.dir], {
    env: { PATH: options.path },
    stdout: "pipe",
  })
  const { value } = await parent.stdout.getReader().read()
  parent.kill("SIGKILL")
  await parent.exited
  const { url, pid } = Object(JSON.parse(new TextDecoder().decode(value)))
  return { url: String(url), pid: Number(pid) }
}
