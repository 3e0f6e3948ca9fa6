import type { ChargeItem } from "../../src/ledger/items.ts"
import { chargeDetails } from "../../src/ledger/records.ts"

/** The details of a charge, as a gateway writes them. */
export function detailsOf({
  requestId = "req_1",
  description = "",
  quantity = 1,
  interfaceId = "user.login",
}: {
  requestId?: string
  description?: string
  quantity?: number
  interfaceId?: string
} = {}): string {
  return chargeDetails({
    keyId: "key_test",
    interface: interfaceId,
    quantity,
    requestId,
    description,
  })
}

/** A charge as one API key without limits makes it. */
export function chargeOf(
  charge: Pick<ChargeItem, "accountId" | "amountFen"> & Partial<ChargeItem>,
): ChargeItem {
  return {
    authVersion: 1,
    servicesVersion: null,
    limits: null,
    idempotency: null,
    details: detailsOf(),
    ...charge,
  }
}
