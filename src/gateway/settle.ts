import type { Charged } from "../ledger/items.ts"
import type { Ledger } from "../ledger/ledger.ts"
import type { Failure } from "./api-failures.ts"
import { costOf } from "./cost.ts"
import type { Forwarded } from "./forward.ts"
import { interfaceOf, type Paying } from "./hold-call.ts"
import { createRelease } from "./release.ts"
import type { SparingLog } from "./sparing-log.ts"
import type { Unpaid } from "./unpaid.ts"

/** An answer that may be passed on: paid for, or without a charge. */
export type Passed = Extract<Forwarded, { status: "answered" }> & { charged: Charged | null }
export type Settled = Passed | Failure | { status: "unavailable" }

export type SettleDeps = {
  ledger: Pick<Ledger, "capture" | "voidHold">
  unpaid: Pick<Unpaid, "failed">
  tell: SparingLog
}

/** What the upstream has answered says what is taken; what is not taken is given back. */
export function createSettle({ ledger, unpaid, tell }: SettleDeps) {
  const { release, releaseLater, stop } = createRelease({ ledger, tell })
  return { settle, stop }

  async function settle(paying: Paying, forwarded: Forwarded): Promise<Settled> {
    const { call, payer, held } = paying
    const { holdId } = held
    if (forwarded.status !== "answered") {
      await release(holdId)
      return forwarded
    }
    const { response, controller } = forwarded
    const cost = costOf(response, interfaceOf(call), held.amountFen)
    switch (cost.status) {
      case "uncharged":
        unpaid.failed({ payer, interface: interfaceOf(call).id })
        await release(holdId)
        return { status: "answered", response, controller, charged: null }
      case "free":
        await release(holdId)
        return { status: "answered", response, controller, charged: null }
      case "unreadable":
        controller.abort()
        await release(holdId)
        return { status: "cost_unreadable" }
      case "charged": {
        if (cost.saidFen !== undefined) tellExcess(paying, cost.saidFen)
        const { amountFen } = cost
        const captured = await ledger.capture({ holdId, amountFen, idempotency: null })
        if (captured.status === "accepted") {
          return { status: "answered", response, controller, charged: captured }
        }
        // It is not paid, and never given for nothing.
        controller.abort()
        if (captured.status === "unavailable") releaseLater(holdId)
        else {
          await release(holdId)
          tell("calls lost their holds", captured.status)
        }
        return { status: "unavailable" }
      }
    }
  }

  function tellExcess({ call, held }: Paying, saidFen: string): void {
    const said = `X-Cost-Fen is ${saidFen}, and ${held.amountFen} were held`
    tell(`the upstream of ${interfaceOf(call).id}`, said)
  }
}
