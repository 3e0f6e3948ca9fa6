import { type Fen, fen } from "../money.ts"
import type { Interface } from "./interfaces.ts"

/** What an upstream says in this header, in fen, is captured in place of the price; never more. */
export const COST_HEADER = "x-cost-fen"

/** What an answer costs of what was held for it. */
export type Cost =
  /** By the interface's rule, or because the upstream says that it is free. */
  | { status: "uncharged" }
  | { status: "free" }
  /**
   * Null: all that is held. `saidFen` is there where the upstream says more than that: no more can
   * be taken than the caller's balance was asked for.
   */
  | { status: "charged"; amountFen: Fen | null; saidFen?: string }
  /** The upstream says what is no amount: whether the call was worth its price is not known. */
  | { status: "unreadable" }

export function costOf(
  { status, headers }: Response,
  { isCharged }: Pick<Interface, "isCharged">,
  heldFen: Fen,
): Cost {
  if (!isCharged(status)) return { status: "uncharged" }
  const said = headers.get(COST_HEADER)
  if (said === null) return { status: "charged", amountFen: null }
  // Digits are matched, and not parsed: 1e3, 0x10 and 1.5 are no amounts.
  if (!/^\d{1,30}$/.test(said)) return { status: "unreadable" }
  const amount = Number(said)
  if (amount === 0) return { status: "free" }
  if (amount > heldFen) return { status: "charged", amountFen: null, saidFen: said }
  return { status: "charged", amountFen: fen(amount) }
}
