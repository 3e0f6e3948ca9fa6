import type { PostgresState } from "./state.ts"

/** What the account plane commits, as far as the simulation needs it: accounts, and money that is paid in. */
export function createAccountPlane({ state, nowMs }: { state(): PostgresState; nowMs(): number }) {
  return {
    openAccount({ accountId, amountFen }: { accountId: string; amountFen: number }): void {
      state().accounts.set(accountId, { lastInstruction: 0, authVersion: 1 })
      instruct({ ...{ accountId, kind: "open", amountFen: 0, authVersion: 1 }, sourceId: null })
      const sourceId = `first ${accountId}`
      instruct({ ...{ accountId, kind: "redemption", amountFen, authVersion: 1 }, sourceId })
    },
    /** False where there is no such account. */
    commitCredit(credit: { accountId: string; sourceId: string; amountFen: number }): boolean {
      if (!state().accounts.has(credit.accountId)) return false
      instruct({ ...credit, kind: "redemption", authVersion: 1 })
      return true
    },
  }

  function instruct(instruction: {
    accountId: string
    kind: string
    amountFen: number
    authVersion: number
    sourceId: string | null
  }): void {
    const { accountId, ...rest } = instruction
    const account = state().accounts.get(accountId)
    if (account === undefined) throw new TypeError(`no account ${accountId}`)
    const made = state().instructions.get(accountId) ?? []
    state().instructions.set(accountId, made)
    const number = ++account.lastInstruction
    // Its primary key: what a refill has written of it stands already.
    if (made.some((row) => row.number === number)) throw new TypeError(`${number} was given before`)
    made.push({
      ...{ ...rest, number, description: "", createdAtMs: nowMs(), isFlushed: false },
    })
  }
}
