import { join } from "node:path"
import { randomChars } from "../../src/ids.ts"
import { eventually } from "../support/eventually.ts"
import type { Asking } from "./clients.ts"
import type { Answer } from "./model.ts"

/** The processes of the system, as the test starts, asks and kills them; lines of JSON go between. */

export type Sent = Pick<Asking, "request" | "accountId" | "holdId">

/** `wave`: so many requests are begun in one turn, then it waits for a millisecond. */
export type ToGateway =
  | { do: "ask"; requests: Sent[]; wave: number }
  | { do: "apply"; op: string; accountId: string }
  | { do: "look"; op: string }
  | { do: "stop" }

/** What a ledger answers, each time under the name of the operation. */
export type FromPart =
  | { is: "started" }
  | { is: "answers"; answers: [string, Answer][] }
  | { is: "log"; line: string }

export type Part = {
  /** With SIGKILL, then started anew; resolves when it has begun its work. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export type Gateway = Part & {
  /** Resolves when all are answered; what is missing was lost with the process. */
  ask(requests: readonly Sent[], wave: number): Promise<ReadonlyMap<string, Answer>>
  /** Null: lost with the process. */
  apply(accountId: string): Promise<Answer | null>
  isReady(): Promise<boolean>
  /** Ends in order, with what is in flight; then starts anew. */
  replace(): Promise<void>
}

type Env = Record<string, string>
type Child = ReturnType<typeof launch>

const PART = join(import.meta.dir, "part.ts")
/** Far longer than any answer may take: past it, a call hangs. */
const ANSWER_MS = 15_000

/** A flusher, or a keeper. */
export async function startPart(
  role: "flusher" | "keeper",
  env: Env,
  log: (line: string) => void,
): Promise<Part> {
  let child = launch(role, env, { log, onAnswers: () => undefined })
  await child.started
  return {
    async restart() {
      await child.end("SIGKILL")
      child = launch(role, env, { log, onAnswers: () => undefined })
      await child.started
    },
    stop: () => child.end("input"),
  }
}

export async function startGateway(env: Env, log: (line: string) => void): Promise<Gateway> {
  type Settle = { resolve(answer: Answer | null): void; reject(error: Error): void }
  const waiting = new Map<string, Settle>()
  let isEnding = false
  let child = begin()
  await child.started
  return { ask, apply, isReady, restart, replace, stop }

  function begin(): Child {
    const begun = launch("gateway", env, { log, onAnswers: (answers) => answers.forEach(settle) })
    void begun.exited.then(() => {
      if (isEnding) return
      for (const { reject } of waiting.values()) reject(new Error("a gateway ended by itself"))
    })
    return begun
  }

  function settle([op, answer]: [string, Answer | null]): void {
    waiting.get(op)?.resolve(answer)
    waiting.delete(op)
  }

  async function ask(requests: readonly Sent[], wave: number) {
    const told = requests.map(async ({ request: { op } }) => [op, await answerTo(op)] as const)
    child.send({ do: "ask", requests: [...requests], wave })
    const answers = new Map<string, Answer>()
    for (const [op, answer] of await Promise.all(told)) if (answer !== null) answers.set(op, answer)
    return answers
  }

  function apply(accountId: string): Promise<Answer | null> {
    const op = randomChars(12)
    const told = answerTo(op)
    child.send({ do: "apply", op, accountId })
    return told
  }

  async function isReady(): Promise<boolean> {
    const op = randomChars(12)
    const told = answerTo(op)
    child.send({ do: "look", op })
    return (await told)?.status === "ready"
  }

  function answerTo(op: string): Promise<Answer | null> {
    return new Promise((resolve, reject) => {
      waiting.set(op, { resolve, reject })
      setTimeout(() => reject(new Error(`${op} has no answer`)), ANSWER_MS).unref()
    })
  }

  function restart(): Promise<void> {
    return anew(() => child.end("SIGKILL"))
  }

  function replace(): Promise<void> {
    child.send({ do: "stop" })
    return anew(() => child.exited)
  }

  async function anew(end: () => Promise<unknown>): Promise<void> {
    isEnding = true
    await end()
    for (const op of waiting.keys()) settle([op, null])
    isEnding = false
    child = begin()
    await child.started
  }

  function stop(): Promise<void> {
    isEnding = true
    return child.end("input")
  }
}

function launch(
  role: string,
  env: Env,
  on: { log(line: string): void; onAnswers(answers: [string, Answer][]): void },
) {
  const child = Bun.spawn([process.execPath, PART, role], {
    env: { PATH: process.env.PATH ?? "", TZ: "UTC", ...env },
    ...({ stdin: "pipe", stdout: "pipe", stderr: "inherit" } as const),
  })
  let hasStarted = false
  const followed = follow(child.stdout, (message) => {
    if (message.is === "answers") on.onAnswers(message.answers)
    else if (message.is === "log") on.log(message.line)
    else hasStarted = true
  })
  const started = eventually(() => hasStarted, { timeoutMs: 20_000 })
  started.catch(() => undefined)
  return { started, send, end, exited: followed.then(() => child.exited) }

  /** One that dies does not get it: whoever waits for its answer is told so. */
  function send(order: ToGateway): void {
    write(order).catch(() => undefined)
  }

  async function write(order: ToGateway): Promise<void> {
    await child.stdin.write(`${JSON.stringify(order)}\n`)
    await child.stdin.flush()
  }

  /** Whatever it had written before is read. */
  async function end(how: "SIGKILL" | "input"): Promise<void> {
    if (how === "SIGKILL") child.kill("SIGKILL")
    else await child.stdin.end()
    await child.exited
    await followed
  }
}

async function follow(
  stream: ReadableStream<Uint8Array>,
  take: (message: FromPart) => void,
): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) take(JSON.parse(line))
  }
}
