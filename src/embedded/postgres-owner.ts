import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, statSync } from "node:fs"
import { endsWithParent, programOnPath, StartRefused } from "./processes.ts"

/** Postgres refuses to run as root: who runs it then, and how that user reaches its files. */

export type Owner = { uid: number; gid: number }

/** Null when we are not root. The owner of an existing database stays its owner. */
export function ownerFor(data: string): Owner | null {
  if (process.getuid?.() !== 0) return null
  if (existsSync(data)) {
    const { uid, gid } = statSync(data)
    if (uid !== 0) return { uid, gid }
  }
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
  const [, , uid, gid] =
    users.find(([name]) => name === "postgres") ?? users.find(([name]) => name === "nobody") ?? []
  if (uid === undefined || gid === undefined) {
    throw new StartRefused("Postgres refuses to run as root: start Fengate as another user.")
  }
  return { uid: Number(uid), gid: Number(gid) }
}

/**
 * The beginning of the command line that runs Postgres as its owner. Where the folders above are
 * closed to that user (a clone below /root), it gets the one capability that opens them. The
 * securebit keeps that capability in force for access(2), by which Postgres checks its programs.
 */
export function reachAs(options: {
  owner: Owner | null
  dir: string
  program: string
  share: string
}): readonly string[] {
  const { owner, dir, program, share } = options
  if (owner === null) return endsWithParent("INT")
  const setpriv = programOnPath("setpriv")
  if (setpriv === null) {
    throw new StartRefused(
      "Postgres refuses to run as root, and there is no setpriv (package util-linux): start Fengate as another user.",
    )
  }
  const asOwner = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups"]
  const throughClosedFolders = [
    "--securebits=+no_setuid_fixup",
    ...["--inh-caps=+dac_override", "--ambient-caps=+dac_override"],
  ]
  const base = [setpriv, "--pdeathsig=INT", ...asOwner]
  const commands = [base, [...base, ...throughClosedFolders]]
  const command = commands.find((candidate) => isReachable(candidate, { dir, program, share }))
  if (command === undefined) {
    throw new StartRefused(
      `Postgres refuses to run as root, and the user with the number ${owner.uid} cannot reach ${dir}: start Fengate as another user, or move it to a folder that this user can enter.`,
    )
  }
  return command
}

function isReachable(
  command: readonly string[],
  { dir, program, share }: { dir: string; program: string; share: string },
): boolean {
  const [first = "", ...rest] = command
  const test = '"$0" --version && test -r "$1/postgres.bki" && test -w "$2"'
  const answer = spawnSync(first, [...rest, "sh", "-c", test, program, share, dir], { cwd: "/" })
  return answer.status === 0
}
