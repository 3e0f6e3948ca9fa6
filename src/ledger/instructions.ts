import { type AccountId, partitionOf, randomChars } from "../ids.ts"
import { APPLY_DEADLINE_MS, APPLY_INSTRUCTIONS_MAX, SETTLE_RETRY_MS } from "../limits.ts"
import type { Fen } from "../money.ts"
import { writeInteger } from "./bytes.ts"
import type { RedisNodes } from "./cluster.ts"
import { accountKey, metaKey, reversedKey, streamKey } from "./keys.ts"
import { type OpenedLedger, type Openings, ofPartition } from "./opening.ts"
import { INSTRUCTION_BYTES, type InstructionKind, instructionDetails } from "./records.ts"
import { runScript, type ScriptReply } from "./run-script.ts"
import { type AccountState, decodeAccount } from "./states.ts"

/** A numbered order from Postgres to Redis about one account (DESIGN section 5). */
export type Instruction = {
  number: number
  kind: InstructionKind
  amountFen: Fen
  authVersion: number
  sourceId: string | null
  description: string
}

export type ApplyOutcome = { status: "applied"; account: AccountState } | { status: "unavailable" }

export type InstructionDeps = {
  redis: RedisNodes
  openings: Openings
  /** The account's instructions that are not flushed, above `after`, lowest first. */
  loadPending(page: { accountId: AccountId; after: number; limit: number }): Promise<Instruction[]>
  log(message: string): void
}

const INSTRUCTION_HEADER_BYTES = 19

export function createInstructions({ redis, openings, loadPending, log }: InstructionDeps) {
  return { applyPending }

  /**
   * Applies all pending instructions of the account, in order. An attempt whose outcome is unknown
   * is repeated until it is known: each number is applied once, so that this needs no slot.
   * `unavailable` after APPLY_DEADLINE_MS: they are committed, and the sweep applies them.
   */
  async function applyPending(accountId: AccountId): Promise<ApplyOutcome> {
    const deadlineAt = performance.now() + APPLY_DEADLINE_MS
    let after = 0
    for (;;) {
      const pending = await loadPending({ accountId, after, limit: APPLY_INSTRUCTIONS_MAX })
      const outcome = await applyUntil(deadlineAt, accountId, pending)
      if (outcome.status === "unavailable" || pending.length < APPLY_INSTRUCTIONS_MAX) {
        return outcome
      }
      after = pending.at(-1)?.number ?? after
    }
  }

  async function applyUntil(
    deadlineAt: number,
    accountId: AccountId,
    pending: readonly Instruction[],
  ): Promise<ApplyOutcome> {
    for (;;) {
      const reply = await attempt(accountId, pending)
      switch (reply.status) {
        case "applied":
          return { status: "applied", account: decodeAccount(reply.body) }
        case "gap":
        case "too_large":
          // Trying again changes nothing: an operator must look at this account.
          log(`ALARM ${accountId}: its instructions cannot be applied: ${reply.status}`)
          return { status: "unavailable" }
        default:
          if (performance.now() >= deadlineAt) return { status: "unavailable" }
          await Bun.sleep(SETTLE_RETRY_MS)
      }
    }
  }

  async function attempt(
    accountId: AccountId,
    pending: readonly Instruction[],
  ): Promise<ScriptReply> {
    const opened = openings.current() ?? (await openings.reload().catch(() => null))
    if (opened === null) return { status: "unscripted" }
    const reply = await sendApply(redis, { opened, accountId, pending })
    if (reply.status === "unscripted" || reply.status === "fenced") {
      await openings.reload().catch(() => null)
    }
    return reply
  }
}

function sendApply(
  redis: RedisNodes,
  {
    opened,
    accountId,
    pending,
  }: { opened: OpenedLedger; accountId: AccountId; pending: readonly Instruction[] },
): Promise<ScriptReply> {
  const partition = partitionOf(accountId, opened.partitions)
  const generation = ofPartition(opened.generations, partition)
  return runScript(redis.of(partition), ofPartition(opened.scripts, partition).apply, {
    keys: [
      metaKey(partition),
      streamKey(partition, generation),
      accountKey(partition, generation, accountId),
      reversedKey(partition, generation),
    ],
    args: [
      String(generation),
      String(opened.partitions),
      randomChars(8),
      Buffer.concat(pending.map(encodeInstruction)),
    ],
  })
}

export function encodeInstruction(instruction: Instruction): Buffer {
  const details = Buffer.from(instructionDetails(instruction))
  const header = Buffer.alloc(INSTRUCTION_HEADER_BYTES)
  header.writeUInt32LE(instruction.number, 0)
  header.writeUInt8(INSTRUCTION_BYTES[instruction.kind], 4)
  writeInteger(header, instruction.amountFen, 5)
  header.writeUInt32LE(instruction.authVersion, 13)
  header.writeUInt16LE(details.length, 17)
  return Buffer.concat([header, details])
}
