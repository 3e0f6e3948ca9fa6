import { createHash } from "node:crypto"
import acknowledge from "../../lua/acknowledge.lua" with { type: "text" }
import apply from "../../lua/apply.lua" with { type: "text" }
import closeSlot from "../../lua/close_slot.lua" with { type: "text" }
import decide from "../../lua/decide.lua" with { type: "text" }
import fencePartition from "../../lua/fence_partition.lua" with { type: "text" }
import forgetResult from "../../lua/forget_result.lua" with { type: "text" }
import openPartition from "../../lua/open_partition.lua" with { type: "text" }
import openSlot from "../../lua/open_slot.lua" with { type: "text" }
import raiseServices from "../../lua/raise_services.lua" with { type: "text" }
import revoke from "../../lua/revoke.lua" with { type: "text" }
import seedCounter from "../../lua/seed_counter.lua" with { type: "text" }

/**
 * The scripts, under the names by which a node of Redis knows them. Redis forgets scripts when it
 * restarts, and only the keeper loads them, after it has verified the data: so a NOSCRIPT answer
 * is a fence. The opening number in the text makes a node that was master before, and still holds
 * scripts of then, answer NOSCRIPT too (DESIGN section 7).
 */

const SCRIPT_TEXTS = {
  decide,
  revoke,
  apply,
  acknowledge,
  openSlot,
  closeSlot,
  seedCounter,
  raiseServices,
  forgetResult,
} as const
export const SCRIPT_NAMES = [
  "decide",
  "revoke",
  "apply",
  "acknowledge",
  "openSlot",
  "closeSlot",
  "seedCounter",
  "raiseServices",
  "forgetResult",
] as const satisfies readonly (keyof typeof SCRIPT_TEXTS)[]
export type ScriptName = (typeof SCRIPT_NAMES)[number]
export type ScriptHashes = Readonly<Record<ScriptName, string>>

/** Run by their text, by recovery alone: they must work where no script is loaded. */
export const OPEN_PARTITION_TEXT = openPartition
export const FENCE_PARTITION_TEXT = fencePartition

export function scriptText(name: ScriptName, opening: number): string {
  return `${SCRIPT_TEXTS[name]}-- opening ${opening}\n`
}

const hashesOf = new Map<number, ScriptHashes>()

export function scriptHashes(opening: number): ScriptHashes {
  const known = hashesOf.get(opening)
  if (known !== undefined) return known
  const hashes = computeHashes(opening)
  hashesOf.set(opening, hashes)
  return hashes
}

function computeHashes(opening: number): ScriptHashes {
  const hash = (name: ScriptName) =>
    createHash("sha1").update(scriptText(name, opening)).digest("hex")
  return {
    decide: hash("decide"),
    revoke: hash("revoke"),
    apply: hash("apply"),
    acknowledge: hash("acknowledge"),
    openSlot: hash("openSlot"),
    closeSlot: hash("closeSlot"),
    seedCounter: hash("seedCounter"),
    raiseServices: hash("raiseServices"),
    forgetResult: hash("forgetResult"),
  }
}
