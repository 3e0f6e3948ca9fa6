import { expect } from "bun:test"
import { type AccountId, parseAccountId } from "../../src/ids.ts"
import { type LedgerRecord } from "../../src/ledger/records.ts"
import { decodeAccount } from "../../src/ledger/states.ts"
import { decodeHold, type HoldState } from "../support/packed.ts"
import type { Scripts } from "../support/scripts.ts"

/** What is kept of a keyed request, and of a resolved hold. */
const KEPT_MS = 86_400_000

/**
 * What must hold whenever no script runs: the stream's records add up to each balance, what is held
 * is the sum of the open holds, these and no others are listed by expiry, and nothing has an end
 * but results and resolved holds.
 */
export async function expectBooks({ redis, entries }: Scripts): Promise<void> {
  const byKind = sortKeys(await redis.keys("{p0}:1:*"))
  const holds = await readHolds(redis, byKind.h)
  const open = [...holds].filter(([, { state }]) => state === "open")
  const listed = await redis.zrange("{p0}:1:holds", "0", "-1", "WITHSCORES")
  const asListed = open.map(([name, { expiresAtMs }]) => `${name} ${expiresAtMs}`)
  expect(inPairs(listed)).toEqual(asListed.toSorted())
  const records = Map.groupBy(
    (await entries()).flatMap((entry) => entry.records),
    ({ accountId }) => accountId,
  )
  for (const key of byKind.a) {
    const bytes = await redis.getBuffer(key)
    const accountId = parseAccountId(`acct_${key.slice(-16)}`)
    if (bytes === null) throw new Error(`${key} has gone`)
    const state = decodeAccount(bytes)
    const held = open.filter(([name]) => name.startsWith(accountId.slice(5)))
    expect<unknown[]>([accountId, state.heldFen]).toEqual([accountId, sum(held)])
    expect(state.balanceFen).toBeGreaterThanOrEqual(state.heldFen)
    expectChain(records.get(accountId) ?? [], accountId, state)
  }
  await expectEnds(redis, byKind, new Set(open.map(([name]) => name)))
}

function sortKeys(keys: readonly string[]): Record<"a" | "h" | "r" | "k", string[]> {
  const of = (kind: string) => keys.filter((key) => key.startsWith(`{p0}:1:${kind}:`))
  return { a: of("a"), h: of("h"), r: of("r"), k: of("k") }
}

async function readHolds(
  redis: Scripts["redis"],
  keys: readonly string[],
): Promise<Map<string, HoldState>> {
  const states = keys.length === 0 ? [] : await redis.mgetBuffer(...keys)
  return new Map(
    keys.map((key, i) => [key.slice(-32), decodeHold(states[i] ?? Buffer.alloc(62))] as const),
  )
}

function inPairs(flat: readonly string[]): string[] {
  return flat.flatMap((name, i) => (i % 2 === 0 ? [`${name} ${flat[i + 1]}`] : [])).toSorted()
}

function sum(holds: readonly [name: string, hold: HoldState][]): number {
  return holds.reduce((total, [, { amountFen }]) => total + amountFen, 0)
}

function expectChain(
  records: readonly LedgerRecord[],
  accountId: AccountId,
  state: { balanceFen: number; seq: number },
): void {
  const money = records.filter(({ type }) => type !== 0)
  for (const [i, record] of money.entries()) {
    const before = money[i - 1]
    if (before === undefined) continue
    expect([accountId, record.seq]).toEqual([accountId, before.seq + 1])
    expect([accountId, record.balanceBeforeFen]).toEqual([accountId, before.balanceAfterFen])
  }
  const last = money.at(-1)
  if (last === undefined) return
  expect({ accountId, balanceFen: state.balanceFen, seq: state.seq }).toEqual({
    ...{ accountId, balanceFen: last.balanceAfterFen, seq: last.seq },
  })
}

async function expectEnds(
  redis: Scripts["redis"],
  { a, h, r, k }: Record<"a" | "h" | "r" | "k", string[]>,
  open: ReadonlySet<string>,
): Promise<void> {
  const forEver = [...a, ...k, ...h.filter((key) => open.has(key.slice(-32)))]
  for (const key of forEver) expect([key, await redis.pttl(key)]).toEqual([key, -1])
  for (const key of [...r, ...h.filter((name) => !open.has(name.slice(-32)))]) {
    const leftMs = await redis.pttl(key)
    expect([key, leftMs > 0 && leftMs <= KEPT_MS]).toEqual([key, true])
  }
}
