/** What a batch of the model asks, and is answered. A hold and an account are named by their place. */

export type Item =
  | { verb: "charge"; account: number; amountFen: number; authVersion: number; key: number | null }
  | {
      verb: "hold"
      account: number
      amountFen: number
      authVersion: number
      key: number | null
      ttlMs: number
      /** Of a forwarded call: nothing is kept of it, and a repeat of its key is refused. */
      isForwarded: boolean
    }
  | { verb: "capture"; hold: number; amountFen: number | null; key: number | null }
  | { verb: "void"; hold: number; isExpiry: boolean; key: number | null }

export type Answer = { status: string; isReplay?: boolean; hold?: number } & Record<string, unknown>

export function isOnce(item: Item): boolean {
  return item.verb === "hold" && item.isForwarded && item.key !== null
}

/** As a digest, it stands for account and path too. */
export function nameOf(item: Item): string | null {
  if (item.key === null) return null
  if (item.verb === "charge") return `s${item.account}.${item.key}`
  if (item.verb === "hold") return `${item.isForwarded ? "o" : "h"}${item.account}.${item.key}`
  return `${item.verb === "capture" ? "c" : "v"}${item.hold}.${item.key}`
}

/** What a request asks for. */
export function fingerprintOf(item: Item): string {
  const amountFen = "amountFen" in item ? item.amountFen : null
  const ttlMs = item.verb === "hold" ? item.ttlMs : 0
  return `${(Number(amountFen) + ttlMs) % 1_000_000}`.padStart(6, "-")
}
