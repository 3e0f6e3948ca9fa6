import type { Redis } from "ioredis"
import { holdsKey, keyPrefix } from "../ledger/keys.ts"
import { decodeHeld } from "../ledger/states.ts"

export type Held = {
  /** What the open holds of an account reserve, by the 16 characters of its id. */
  byAccount: ReadonlyMap<string, number>
  findings: string[]
}

const HOLDS_PAGE = 1_000

/** Adds up the open holds of a partition. A hold in the list of open ones that is not open is a finding. */
export async function sumHolds(
  redis: Redis,
  { partition, generation }: { partition: number; generation: number },
): Promise<Held> {
  const byAccount = new Map<string, number>()
  const findings: string[] = []
  const prefix = `${keyPrefix(partition, generation)}h:`
  for (let from = 0; ; from += HOLDS_PAGE) {
    const end = from + HOLDS_PAGE - 1
    const names = await redis.zrange(holdsKey(partition, generation), String(from), String(end))
    if (names.length === 0) return { byAccount, findings }
    const states = await redis.mgetBuffer(...names.map((name) => prefix + name))
    for (const [i, name] of names.entries()) {
      const state = states[i]
      const heldFen = state ? decodeHeld(state) : null
      if (heldFen === null) findings.push(`hold ${name} is among the open ones, and is not open`)
      const account = name.slice(0, 16)
      byAccount.set(account, (byAccount.get(account) ?? 0) + (heldFen ?? 0))
    }
  }
}
