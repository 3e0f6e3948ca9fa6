import { isIP } from "node:net"

/** The running server, as far as addresses go; null where requests are handled without one. */
export type AddressSource = { requestIP(request: Request): { address: string } | null } | null

/** The client's address: the socket's, or what the trusted proxies in front forward. */
export type ClientAddress = (request: Request, server: AddressSource) => string

const UNKNOWN = "unknown"

/**
 * Walks `X-Forwarded-For` from the right, past the proxies that are trusted: each hop appends the
 * address that it saw, so that only what a trusted one wrote is believed.
 */
export function createClientAddress(trustedProxies: readonly string[]): ClientAddress {
  const trusted = new Set(trustedProxies.map(plainAddress))
  return (request, server) => {
    let address = plainAddress(server?.requestIP(request)?.address ?? UNKNOWN)
    if (!trusted.has(address)) return address
    const hops = (request.headers.get("x-forwarded-for") ?? "").split(",")
    for (const hop of hops.reverse()) {
      const next = plainAddress(hop.trim())
      if (isIP(next) === 0) break
      address = next
      if (!trusted.has(address)) break
    }
    return address
  }
}

/** How a client reached us, as a trusted proxy in front or the request itself says it. */
export type Reached = { address: string; protocol: string; host: string }

export function createReached(
  trustedProxies: readonly string[],
): (request: Request, server: AddressSource) => Reached {
  const clientAddress = createClientAddress(trustedProxies)
  const trusted = new Set(trustedProxies.map(plainAddress))
  return (request, server) => {
    const address = clientAddress(request, server)
    const host = request.headers.get("host") ?? ""
    // Most installations trust nobody: then the socket need not be asked again.
    if (trusted.size === 0) return { address, protocol: "http", host }
    const peer = plainAddress(server?.requestIP(request)?.address ?? UNKNOWN)
    if (!trusted.has(peer)) return { address, protocol: "http", host }
    const protocol = request.headers.get("x-forwarded-proto") === "https" ? "https" : "http"
    return { address, protocol, host: request.headers.get("x-forwarded-host") ?? host }
  }
}

/** Without port and brackets; an IPv4 address in IPv6 clothes is an IPv4 address. */
function plainAddress(text: string): string {
  if (/^[\d.]+$/.test(text)) return text
  const bare = text.replace(/^\[(.*)\](:\d+)?$/, "$1").replace(/^(\d+(?:\.\d+){3}):\d+$/, "$1")
  return bare.toLowerCase().replace(/^::ffff:(?=\d+\.)/, "")
}

/**
 * What counts as one client in a rate limit: an IPv4 address, or the /64 of an IPv6 one, because
 * whoever has one such address has them all.
 */
export function addressGroup(address: string): string {
  if (isIP(address) !== 6) return address
  const [head = "", tail] = address.split("::")
  const left = head === "" ? [] : head.split(":")
  const right = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros =
    tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0")
  const groups = [...left, ...zeros, ...right].slice(0, 4)
  return `${groups.map((group) => group.replace(/^0+(?=.)/, "")).join(":")}::/64`
}

export function isLoopbackAddress(address: string): boolean {
  return address === "::1" || address.startsWith("127.")
}
