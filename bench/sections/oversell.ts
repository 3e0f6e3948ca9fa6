import { noteAccepted } from "../books.ts"
import { type Load, runLoad } from "../load.ts"
import type { Bench, Section } from "../section.ts"
import { seedAccounts, seeded } from "../seed.ts"
import { whole } from "../table.ts"

const BALANCE_FEN = 1_000
const CALLS = 2_000
const REPEATS_MAX = 10

/** Charges at once, through two gateways, twice as often as the balance covers. */
export async function runOversell({ system, terminal, proof }: Bench): Promise<Section> {
  terminal.say("Overselling ...")
  const accounts = await seedAccounts(system.sql, { count: 1, creditFen: BALANCE_FEN })
  proof.accounts.push(...accounts)
  await seeded(system)
  const gateways = [await system.startGateway(), await system.startGateway()]
  const urls = gateways.map(({ url }) => url)
  const loads: Load[] = []
  const count = (status: number) =>
    loads.reduce((sum, { statuses }) => sum + (statuses.get(status) ?? 0), 0)
  const undecided = () => CALLS - count(200) - count(402)
  // A machine that is too busy to decide in time answers 503; its callers come again, as they may.
  while (undecided() > 0 && loads.length <= REPEATS_MAX) {
    const load = await runLoad({
      urls: urls.slice(0, undecided()),
      path: "/v1/charges",
      accounts,
      connections: undecided(),
      until: { callsEach: 1 },
      progress: { calls: 0, refused: 0, lost: 0 },
    })
    loads.push(load)
    noteAccepted(proof, load.accepted)
  }
  for (const gateway of gateways) await gateway.stop()
  const lost = loads.reduce((sum, load) => sum + load.lost, 0)
  const found = `${count(200)} accepted, ${count(402)} refused`
  if (lost > 0 || count(200) !== BALANCE_FEN || undecided() !== 0) {
    throw new Error(`oversell: ${found}, ${count(503)} times 503, ${lost} without an answer`)
  }
  return {
    title: "Overselling",
    lines: [
      `${whole(CALLS)} charges at once through two gateways on a balance of ${whole(BALANCE_FEN)} fen: ` +
        `${found} (${count(503)} were answered 503 first, and came again).`,
    ],
    targets: [],
  }
}
