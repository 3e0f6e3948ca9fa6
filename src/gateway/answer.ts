import type { HeaderMap } from "../http/request-id.ts"
import { type AccountId, chargeIdIn, chargeMonth } from "../ids.ts"
import type { Charged, Held } from "../ledger/items.ts"
import { availableCalls, formatCny } from "../money.ts"

/** What an accepted charge was for. `priceFen` is that of one call more, for what is left. */
export type Sale = {
  accountId: AccountId
  interface: string
  quantity: number
  priceFen: number
}

/** The time of the last batch: all its charges have the same. */
let last = { atMs: -1, month: 0, text: "" }

/** The id of a charge, from what the script said of it. */
export function chargeIdOf(accountId: AccountId, { seq, atMs }: Charged): string {
  return chargeIdIn(timeOf(atMs).month, { accountId, seq })
}

/**
 * A charge that was accepted, as text. Written by hand: it saves a tenth of what the call costs,
 * and nothing in it needs escaping (ids, names of the price list, numbers).
 */
export function chargeText(id: string, charged: Charged, sale: Sale): string {
  const { amountFen, balanceFen, heldFen, seq, atMs } = charged
  const before = balanceFen + amountFen
  const availableFen = balanceFen - heldFen
  const calls = availableCalls({ available: availableFen, price: sale.priceFen })
  const balance = formatCny(balanceFen)
  const available = heldFen === 0 ? balance : formatCny(availableFen)
  return `{"chargeId":"${id}","interface":"${sale.interface}","quantity":${sale.quantity},"amountFen":${amountFen},"amount":"${formatCny(amountFen)}","balanceBeforeFen":${before},"balanceBefore":"${formatCny(before)}","balanceAfterFen":${balanceFen},"balanceAfter":"${balance}","balanceFen":${balanceFen},"balance":"${balance}","availableFen":${availableFen},"available":"${available}","availableCalls":${calls},"seq":${seq},"at":"${timeOf(atMs).text}"}`
}

/** The answer to a charge that was accepted, and its headers. */
export function writeCharge(charged: Charged, sale: Sale, headers: HeaderMap): string {
  const id = chargeIdOf(sale.accountId, charged)
  headers["content-type"] = "application/json"
  tellCharge(headers, id, charged)
  return chargeText(id, charged, sale)
}

/** The headers of every paid answer. */
export function tellCharge(headers: HeaderMap, id: string, charged: Charged): void {
  headers["x-charge-id"] = id
  headers["x-charge-fen"] = String(charged.amountFen)
  headers["x-available-fen"] = String(charged.balanceFen - charged.heldFen)
  if (charged.isReplay) headers["idempotent-replayed"] = "true"
}

/** The answer to a hold that was made. */
export function viewHold({ holdId, amountFen, balanceFen, heldFen, expiresAtMs }: Held) {
  return {
    holdId,
    amountFen,
    amount: formatCny(amountFen),
    expiresAt: new Date(expiresAtMs).toISOString(),
    ...viewAvailable({ balanceFen, heldFen }),
  }
}

export function viewAvailable({ balanceFen, heldFen }: { balanceFen: number; heldFen: number }) {
  const availableFen = balanceFen - heldFen
  return { availableFen, available: formatCny(availableFen) }
}

function timeOf(atMs: number): typeof last {
  if (atMs !== last.atMs) {
    const at = new Date(atMs)
    last = { atMs, month: chargeMonth(at), text: at.toISOString() }
  }
  return last
}
