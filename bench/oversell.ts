import { type Load, runLoad } from "./load.ts"
import { type Account, seedAccounts, seeded } from "./seed.ts"
import type { System } from "./system.ts"

export type Oversell = {
  account: Account
  load: Load
  accepted: number
  refused: number
  isExact: boolean
}

const BALANCE_FEN = 1_000
const CALLS = 2_000

/** Charges at once, through two gateways, twice as often as the balance covers. */
export async function runOversell(system: System): Promise<Oversell> {
  const [account] = await seedAccounts(system.sql, { count: 1, creditFen: BALANCE_FEN })
  if (account === undefined) throw new Error("no account was made")
  await seeded(system)
  const gateways = [await system.startGateway(), await system.startGateway()]
  const load = await runLoad({
    urls: gateways.map(({ url }) => url),
    path: "/v1/charges",
    accounts: [account],
    connections: CALLS,
    until: { callsEach: 1 },
    progress: { calls: 0, refused: 0, lost: 0 },
  })
  for (const gateway of gateways) await gateway.stop()
  const accepted = load.statuses.get(200) ?? 0
  const refused = load.statuses.get(402) ?? 0
  const isExact = accepted === BALANCE_FEN && refused === CALLS - BALANCE_FEN && load.lost === 0
  return { account, load, accepted, refused, isExact }
}
