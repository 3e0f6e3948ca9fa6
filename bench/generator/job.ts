import { join } from "node:path"
import type { Progress } from "../load.ts"
import type { Generated } from "./generate.ts"
import type { Call } from "./request.ts"

/** What a generator process is asked to do. */
export type Job = {
  /** Connections are spread over them in turn. */
  urls: readonly string[]
  /** Taken in turn. */
  calls: readonly Call[]
  /** Each call is a batch of so many charges, which are what counts; null: each is one. */
  batchItems: number | null
  connections: number
  seconds: number
  /** Null: a closed loop. */
  callsPerSecond: number | null
  timeoutMs: number
}

export type JobOutcome = Generated & {
  /** From the first connection to the last answer. */
  ms: number
  /** By the place of the call: accepted charges. */
  accepted: number[]
  statuses: [number, number][]
  /** Refusals by their code: of calls, and of the items of batches. */
  codes: [string, number][]
  cpuMs: number
}

export type Message = { progress: Progress } | { outcome: JobOutcome }

const PROCESS = join(import.meta.dir, "process.ts")

/** Runs the job in a process of its own and waits for its last answer. */
export async function runJob(job: Job, progress: Progress): Promise<JobOutcome> {
  const child = Bun.spawn([process.execPath, PROCESS], {
    stdin: new Blob([JSON.stringify(job)]),
    stdout: "pipe",
    stderr: "pipe",
  })
  const [outcome, errors] = await Promise.all([
    follow(child.stdout, progress),
    child.stderr.text(),
    child.exited,
  ])
  if (outcome === null) throw new Error(`a generator ended without a result: ${errors.trim()}`)
  return outcome
}

async function follow(
  output: ReadableStream<Uint8Array>,
  progress: Progress,
): Promise<JobOutcome | null> {
  let text = ""
  let outcome: JobOutcome | null = null
  const decoder = new TextDecoder()
  for await (const bytes of output) {
    text += decoder.decode(bytes, { stream: true })
    const lines = text.split("\n")
    text = lines.pop() ?? ""
    for (const line of lines) {
      const message: Message = JSON.parse(line)
      if ("outcome" in message) outcome = message.outcome
      else Object.assign(progress, message.progress)
    }
  }
  return outcome
}
