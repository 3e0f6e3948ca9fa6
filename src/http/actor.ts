import type { Actor } from "../audit.ts"
import type { AddressSource, ClientAddress } from "./address.ts"
import type { Principal } from "./authenticate.ts"
import { type HeaderMap, requestIdOf } from "./request-id.ts"

type Act = {
  principal: Principal
  request: Request
  server: AddressSource
  set: { headers: HeaderMap }
}

/** Who makes an administrative request, and from where: for the audit log. */
export function createActorOf(clientAddress: ClientAddress) {
  return ({ principal, request, server, set }: Act): Actor => ({
    actor: principal.accountId,
    requestId: requestIdOf(set.headers),
    address: clientAddress(request, server),
  })
}
