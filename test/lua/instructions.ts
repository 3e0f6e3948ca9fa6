import { type AccountId, chargeId, randomChars } from "../../src/ids.ts"
import { encodeInstruction, type Instruction } from "../../src/ledger/instructions.ts"
import { reversedKey } from "../../src/ledger/keys.ts"
import type { ScriptReply } from "../../src/ledger/run-script.ts"
import { type AccountState, decodeAccount } from "../../src/ledger/states.ts"
import { fen } from "../../src/money.ts"
import { keyOf, type Scripts } from "../support/scripts.ts"

/** An instruction as a test needs it: of nothing else than what is given. */
export function instruction(given: Partial<Instruction>): Instruction {
  const base = { number: 1, amountFen: fen(0), authVersion: 0, description: "from a test" } as const
  return { ...base, kind: "redemption", sourceId: `rdm_${given.number}`, ...given }
}

/** One that reverses a charge, as a service key or an administrator orders it. */
export function reversalOf(
  accountId: AccountId,
  { number, seq, amountFen }: { number: number; seq: number; amountFen: number },
): Instruction {
  const sourceId = chargeId({ accountId, seq, at: new Date() })
  return instruction({ number, kind: "reversal", amountFen: fen(amountFen), sourceId })
}

/** The account's state afterwards, or why there is none. */
export async function apply(
  { run }: Scripts,
  accountId: AccountId,
  { instructions, args = ["1", "1"] }: { instructions: Instruction[]; args?: string[] },
): Promise<AccountState | ScriptReply["status"]> {
  const reply = await run("apply", {
    keys: ["{p0}:meta", "{p0}:1:stream", keyOf(accountId), reversedKey(0, 1)],
    args: [...args, randomChars(8), Buffer.concat(instructions.map(encodeInstruction))],
  })
  return reply.status === "applied" ? decodeAccount(reply.body) : reply.status
}
