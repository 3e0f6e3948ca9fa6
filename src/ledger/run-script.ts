import type { Redis } from "ioredis"
import { classifyFailure, type Failure } from "./redis.ts"

/** The words that scripts answer with, in their headers' RETURN; `body` where the header names one. */
const WORDS = [
  "done",
  "fenced",
  "slot_closed",
  "barred",
  "ahead",
  "saturated",
  "revoked",
  "applied",
  "gap",
  "too_large",
  "acknowledged",
  "opened",
  "taken",
  "closed",
  "unsettled",
  "seeded",
  "raised",
  "cleared",
  "forgotten",
  "told",
] as const
export type Word = (typeof WORDS)[number]
type WordWithBody = "done" | "applied"

export type ScriptReply =
  | { status: WordWithBody; body: Buffer }
  | { status: Exclude<Word, WordWithBody> }
  | { status: Failure }

const WORD_SET: ReadonlySet<string> = new Set(WORDS)

/**
 * One attempt of one script: by its hash, never by its text, so that a node that was not opened
 * refuses it. Never throws for what Redis or the connection does; that is the answer's `status`.
 */
export async function runScript(
  redis: Redis,
  hash: string,
  { keys, args }: { keys: readonly string[]; args: readonly (string | Buffer)[] },
): Promise<ScriptReply> {
  let reply: unknown
  try {
    reply = await redis.callBuffer("EVALSHA", hash, keys.length, ...keys, ...args)
  } catch (error) {
    return { status: classifyFailure(error) }
  }
  return readReply(reply)
}

/** How many replicas must have a write before it is believed, and how long they may take. */
export type Wait = { replicas: number; timeoutMs: number }

/**
 * The same, on a connection on which nothing else is sent; done only once so many replicas have it. A
 * wait that is not met leaves the batch executed: its outcome is unknown (DESIGN section 7).
 */
export async function runScriptReplicated(
  redis: Redis,
  hash: string,
  { wait, ...call }: Parameters<typeof runScript>[2] & { wait: Wait },
): Promise<ScriptReply> {
  if (wait.replicas === 0) return await runScript(redis, hash, call)
  const running = runScript(redis, hash, call)
  const replicated = redis.wait(wait.replicas, wait.timeoutMs).catch(() => 0)
  const [reply, replicas] = await Promise.all([running, replicated])
  return reply.status === "done" && replicas < wait.replicas ? { status: "unknown" } : reply
}

export function readReply(reply: unknown): ScriptReply {
  const [word, body] = Array.isArray(reply) ? reply : []
  const status = Buffer.isBuffer(word) ? word.toString("latin1") : ""
  if (!isWord(status)) throw new Error("broken invariant: a script answered with an unknown word")
  if (status === "done" || status === "applied") {
    if (!Buffer.isBuffer(body)) throw new Error(`broken invariant: ${status} came without its body`)
    return { status, body }
  }
  return { status }
}

function isWord(text: string): text is Word {
  return WORD_SET.has(text)
}
