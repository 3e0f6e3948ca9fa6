import type { AccountId } from "../../src/ids.ts"

/**
 * What the clients of a run know: every movement of money that was asked for, under a name by which its
 * record is found, and its class.
 *
 * OPEN     it was not answered yet.
 * DONE     it was answered with a charge. Nothing later changes that.
 * REFUSED  each attempt was answered with a refusal, a 503 among them: nothing may be charged.
 * UNKNOWN  of an attempt there is no answer, and none was DONE: it is charged once or not at all.
 */
export type Class = "open" | "done" | "refused" | "unknown"

export type Kind = "charge" | "redemption"

/** As an answer told it; null where it tells less. */
export type Told = {
  chargeId: string
  seq: number | null
  amountFen: number
  balanceAfterFen: number | null
}

export type Intent = {
  kind: Kind
  name: string
  accountId: AccountId
  class: Class
  /** Each charge that it was answered with: the same one, however often. */
  told: Told[]
  /** Asks again under the same Idempotency-Key; null where there is none. */
  settle: (() => Promise<unknown>) | null
}

export type Journal = {
  intents: ReadonlyMap<string, Intent>
  /** Answers that nothing of the contract explains, each with how often. */
  strange: ReadonlyMap<string, number>
  /** Nothing is to be put back any more: what a refusal says of an earlier attempt stays so. */
  isQuiet: boolean
  open(intent: Pick<Intent, "kind" | "name" | "accountId">): Intent
  /** The record of a call that names no description of its own is found by this, too. */
  alias(name: string, intent: Intent): void
  find(name: string): Intent | undefined
  done(intent: Intent, told: Told | null): void
  refused(intent: Intent): void
  unknown(intent: Intent): void
  strangely(what: string): void
  clear(): void
}

export function createJournal(): Journal {
  const intents = new Map<string, Intent>()
  const aliases = new Map<string, Intent>()
  const strange = new Map<string, number>()
  return {
    intents,
    strange,
    isQuiet: false,
    open({ kind, name, accountId }) {
      const intent: Intent = { kind, name, accountId, class: "open", told: [], settle: null }
      intents.set(name, intent)
      return intent
    },
    alias: (name, intent) => void aliases.set(name, intent),
    find: (name) => intents.get(name) ?? aliases.get(name),
    done(intent, told) {
      intent.class = "done"
      if (told !== null) intent.told.push(told)
    },
    refused(intent) {
      if (intent.class === "open") intent.class = "refused"
    },
    unknown(intent) {
      if (intent.class !== "done") intent.class = "unknown"
    },
    strangely: (what) => void strange.set(what, (strange.get(what) ?? 0) + 1),
    clear() {
      for (const map of [intents, aliases, strange]) map.clear()
    },
  }
}
