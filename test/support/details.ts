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
