import { parseAccountId } from "../ids.ts"
import type { RedisNodes } from "../ledger/cluster.ts"
import { accountKey, holdsKey, keyPrefix } from "../ledger/keys.ts"
import { decodeAccount, decodeHeld } from "../ledger/states.ts"

type Place = { partition: number; generation: number }

export type Held = {
  /** What the open holds of an account reserve, by its id. */
  byAccount: ReadonlyMap<string, number>
  findings: string[]
}
export type HeldDrift = { driftFen: number; findings: string[] }

const HOLDS_PAGE = 1_000
/** Accounts that are read in one step together with the names of all open holds. */
const SUSPECTS_PAGE = 1_000
const ATTEMPTS_MAX = 10

/**
 * Adds up the open holds of a partition, page by page. While calls go on this is of no one moment: it
 * tells which accounts to look at. A hold that stays in the list of open ones and is not open is a finding.
 */
export async function sumHolds(redis: RedisNodes, place: Place): Promise<Held> {
  const byAccount = new Map<string, number>()
  const findings: string[] = []
  for (let from = 0; ; from += HOLDS_PAGE) {
    const end = from + HOLDS_PAGE - 1
    const names = await redis
      .of(place.partition)
      .zrange(holdsKey(...parts(place)), String(from), String(end))
    if (names.length === 0) return { byAccount, findings }
    const amounts = await readAmounts(redis, place, names)
    for (const name of names) {
      const heldFen = amounts.get(name)
      if (heldFen === undefined && (await isListedAndResolved(redis, place, name))) {
        findings.push(`hold ${name} is among the open ones, and is not open`)
      }
      const accountId = accountOf(name)
      byAccount.set(accountId, (byAccount.get(accountId) ?? 0) + (heldFen ?? 0))
    }
  }
}

/**
 * Compares what is held of these accounts with their open holds, in one step: states, and the names
 * of all open holds. An open hold's amount never changes, so that it may be read afterwards; where it
 * was resolved in between, the account is looked at again.
 */
export async function compareHeld(
  redis: RedisNodes,
  place: Place,
  accountIds: readonly string[],
): Promise<HeldDrift> {
  const result: HeldDrift = { driftFen: 0, findings: [] }
  for (let from = 0; from < accountIds.length; from += SUSPECTS_PAGE) {
    let left: readonly string[] = accountIds.slice(from, from + SUSPECTS_PAGE)
    for (let attempt = 1; left.length > 0 && attempt <= ATTEMPTS_MAX; attempt++) {
      left = await compareOnce(redis, place, { accountIds: left, result })
    }
    for (const accountId of left) {
      result.findings.push(`${accountId}: its holds come and go too fast to be compared`)
    }
  }
  return result
}

/** Answers the accounts that could not be judged. */
async function compareOnce(
  redis: RedisNodes,
  place: Place,
  { accountIds, result }: { accountIds: readonly string[]; result: HeldDrift },
): Promise<string[]> {
  const keys = accountIds.map((id) => accountKey(...parts(place), parseAccountId(id)))
  const answers = await redis
    .of(place.partition)
    .multi()
    .zrange(holdsKey(...parts(place)), "0", "-1")
    .mgetBuffer(...keys)
    .exec()
  const [listed, states] = (answers ?? []).map(([error, answer]) => {
    if (error !== null) throw error
    return Array.isArray(answer) ? answer : []
  })
  const wanted = new Set(accountIds)
  const names = (listed ?? []).map(String).filter((name) => wanted.has(accountOf(name)))
  const namesOf = Map.groupBy(names, accountOf)
  const amounts = await readAmounts(redis, place, names)
  for (const name of names) {
    // One that stays listed and is not open reserves nothing; it is a finding of its own.
    if (amounts.has(name) || !(await isListedAndResolved(redis, place, name))) continue
    amounts.set(name, 0)
  }
  return accountIds.filter((accountId, i) => {
    const state: unknown = states?.[i]
    const own = namesOf.get(accountId) ?? []
    if (own.some((name) => !amounts.has(name))) return true
    const holdsFen = own.reduce((sum, name) => sum + (amounts.get(name) ?? 0), 0)
    const heldFen = Buffer.isBuffer(state) ? decodeAccount(state).heldFen : 0
    if (heldFen === holdsFen) return false
    result.driftFen += Math.abs(heldFen - holdsFen)
    result.findings.push(`${accountId}: ${heldFen} fen are held, its holds sum up to ${holdsFen}`)
    return false
  })
}

/** What open holds reserve, by their names; one that is not open is left out. */
async function readAmounts(
  redis: RedisNodes,
  place: Place,
  names: readonly string[],
): Promise<Map<string, number>> {
  const amounts = new Map<string, number>()
  for (let from = 0; from < names.length; from += HOLDS_PAGE) {
    const page = names.slice(from, from + HOLDS_PAGE)
    const states = await redis
      .of(place.partition)
      .mgetBuffer(...page.map((name) => holdKey(place, name)))
    for (const [i, name] of page.entries()) {
      const state = states[i]
      const heldFen = state ? decodeHeld(state) : null
      if (heldFen !== null) amounts.set(name, heldFen)
    }
  }
  return amounts
}

async function isListedAndResolved(
  redis: RedisNodes,
  place: Place,
  name: string,
): Promise<boolean> {
  const answers = await redis
    .of(place.partition)
    .multi()
    .zscore(holdsKey(...parts(place)), name)
    .getBuffer(holdKey(place, name))
    .exec()
  const [score, state] = (answers ?? []).map(([, answer]) => answer)
  if (score === null || score === undefined) return false
  return !Buffer.isBuffer(state) || decodeHeld(state) === null
}

function holdKey(place: Place, name: string): string {
  return `${keyPrefix(...parts(place))}h:${name}`
}

function parts({ partition, generation }: Place): [partition: number, generation: number] {
  return [partition, generation]
}

/** A hold's name begins with the 16 characters of its account's id. */
function accountOf(name: string): string {
  return `acct_${name.slice(0, 16)}`
}
