import { ConfigError } from "../config.ts"
import { codeOf, StartRefused } from "../embedded/processes.ts"
import { LedgerRefused } from "../recovery/requirements.ts"
import { messageOf } from "../ticker.ts"
import { backup } from "./backup.ts"
import { type Command, type Io, Refused, WrongUsage } from "./command.ts"
import { rebuild } from "./rebuild.ts"
import { reconcile } from "./reconcile.ts"
import { restore } from "./restore.ts"
import { resume } from "./resume.ts"
import { status } from "./status.ts"
import { verifyChain } from "./verify-chain.ts"

const COMMANDS: Readonly<Record<string, Command>> = {
  status,
  reconcile,
  "verify-chain": verifyChain,
  resume,
  rebuild,
  backup,
  restore,
}

const FAILED = 1
const USED_WRONGLY = 2

/** Runs one command. Answers its exit code: 0, 1 where it failed or found something, 2 for wrong usage. */
export async function runOps(words: readonly string[], io: Io): Promise<number> {
  const [name, ...rest] = words
  if (name === undefined || name === "--help" || name === "-h") {
    io.out(listCommands())
    return name === undefined ? USED_WRONGLY : 0
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) {
    io.err(`There is no command "${name}".\n\n${listCommands()}`)
    return USED_WRONGLY
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    io.out(command.usage)
    return 0
  }
  try {
    return await command.run(rest, io)
  } catch (error) {
    if (error instanceof WrongUsage) {
      io.err(`${error.message}\n\n${command.usage}`)
      return USED_WRONGLY
    }
    io.err(`${sentenceFor(error)}\n`)
    return FAILED
  }
}

function listCommands(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length))
  const lines = Object.entries(COMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`,
  )
  return [
    "npm run ops -- COMMAND [--help]",
    "",
    ...lines,
    "",
    "It works on REDIS_URL and DATABASE_URL, or on the installation that runs on DATA_DIR (default .data).",
    "",
  ].join("\n")
}

/** What is expected to happen is one sentence; what is not keeps its stack. */
function sentenceFor(error: unknown): string {
  const expected = [Refused, ConfigError, StartRefused, LedgerRefused]
  if (expected.some((kind) => error instanceof kind)) return messageOf(error)
  // An error of the system or of a server, such as ECONNREFUSED.
  if (codeOf(error) !== "") return `It failed: ${messageOf(error)}`
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
