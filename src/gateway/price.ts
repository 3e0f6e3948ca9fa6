import { INTERFACES_REFRESH_MS } from "../limits.ts"
import { type Fen, parseFen } from "../money.ts"
import { messageOf, startTicker } from "../ticker.ts"

/** The price list of this process, kept fresh in the background: a call never waits for it. */
export type PriceList = {
  /** The price in fen of one call; null where there is no such interface. */
  priceOf(interfaceId: string): Fen | null
  stop(): Promise<void>
}

export async function createPriceList(
  loadInterfaces: () => Promise<readonly { id: string; priceFen: string }[]>,
  log: (message: string) => void,
): Promise<PriceList> {
  let prices = await load()
  const refresh = startTicker({
    intervalMs: INTERFACES_REFRESH_MS,
    work: async () => {
      prices = await load()
    },
    onError: (error) => log(`the price list could not be refreshed: ${messageOf(error)}`),
  })
  return { priceOf: (interfaceId) => prices.get(interfaceId) ?? null, stop: refresh.stop }

  async function load(): Promise<ReadonlyMap<string, Fen>> {
    return new Map((await loadInterfaces()).map(({ id, priceFen }) => [id, parseFen(priceFen)]))
  }
}
