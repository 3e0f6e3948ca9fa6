import { createCaller } from "../caller.ts"
import type { Fault, Scene } from "../fault.ts"
import type { Intent } from "../journal.ts"
import { redeemCode, type Stage } from "../plays.ts"
import type { Payer } from "../site.ts"

/** One code, which very many want at once. */

const CALLERS = 200
const USES = 60
const FEN = 7

const byMany = race("one code redeemed by 200 accounts at once", USES, ({ site }) =>
  site.accounts.others.slice(0, CALLERS),
)

const byOne = race("one code redeemed 200 times by one account", 1, ({ site, chance }) => {
  const payer = chance.pick(site.accounts.others)
  return Array.from({ length: CALLERS }, () => payer)
})

/** A gateway is killed meanwhile. `expected`: how many accounts have the credit in the end. */
function race(name: string, expected: number, payersOf: (at: Scene) => readonly Payer[]): Fault {
  let intents: Intent[] = []
  return {
    name,
    outageMs: [0, 100],
    async strike(at) {
      const { site, chance, load } = at
      const code = await site.makeCode(FEN, USES)
      const stage = { journal: load.stage.journal, send: sendBy(at) }
      const redeeming = Promise.all(payersOf(at).map((payer) => redeemCode(stage, payer, code)))
      await Bun.sleep(chance.between(0, 150))
      const gateway = chance.pick(site.gateways)
      await gateway.kill()
      intents = await redeeming
      return gateway.start
    },
    async check() {
      const done = new Set(intents.filter((intent) => intent.class === "done"))
      return done.size === expected
        ? []
        : [`${done.size} accounts have the credit, not ${expected}`]
    },
  }
}

/** Each call has a connection of its own. */
export function sendBy({ site, chance }: Pick<Scene, "site" | "chance">): Stage["send"] {
  return async (_payer, sent) => {
    const caller = createCaller(chance.pick(site.gateways).port)
    const fate = await caller.call(sent)
    caller.close()
    return fate
  }
}

export const REDEMPTION_FAULTS: readonly Fault[] = [byMany, byOne]
