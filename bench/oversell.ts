import { type Load, runLoad } from "./load.ts"
import { type Account, seedAccounts, seeded } from "./seed.ts"
import type { System } from "./system.ts"

export type Oversell = {
  account: Account
  loads: Load[]
  accepted: number
  refused: number
  /** Calls that were answered 503, which took nothing, and were made again. */
  repeated: number
  isExact: boolean
}

const BALANCE_FEN = 1_000
const CALLS = 2_000
const REPEATS_MAX = 10

/** Charges at once, through two gateways, twice as often as the balance covers. */
export async function runOversell(system: System): Promise<Oversell> {
  const [account] = await seedAccounts(system.sql, { count: 1, creditFen: BALANCE_FEN })
  if (account === undefined) throw new Error("no account was made")
  await seeded(system)
  const gateways = [await system.startGateway(), await system.startGateway()]
  const urls = gateways.map(({ url }) => url)
  const loads: Load[] = []
  const count = (status: number) =>
    loads.reduce((sum, { statuses }) => sum + (statuses.get(status) ?? 0), 0)
  const undecided = () => CALLS - count(200) - count(402)
  // A machine that is too busy to decide in time answers 503; its callers come again, as they may.
  while (undecided() > 0 && loads.length <= REPEATS_MAX) {
    loads.push(
      await runLoad({
        urls: urls.slice(0, undecided()),
        path: "/v1/charges",
        accounts: [account],
        connections: undecided(),
        until: { callsEach: 1 },
        progress: { calls: 0, refused: 0, lost: 0 },
      }),
    )
  }
  for (const gateway of gateways) await gateway.stop()
  const [accepted, refused] = [count(200), count(402)]
  const isLost = loads.some(({ lost }) => lost > 0)
  const isExact = !isLost && accepted === BALANCE_FEN && refused === CALLS - BALANCE_FEN
  return { account, loads, accepted, refused, repeated: count(503), isExact }
}
