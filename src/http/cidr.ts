import { BlockList, isIP } from "node:net"

/** A block of addresses, in the words of `node:net`. */
export type AddressBlock = { network: string; prefix: number; family: "ipv4" | "ipv6" }

export type AddressList = { check(address: string): boolean }

const ADDRESS_BITS = { ipv4: 32, ipv6: 128 } as const
/** The bits before the IPv4 address in an IPv6 one that maps it. */
const MAPPED_BITS = 96

/**
 * Reads `10.0.0.0/8`, `2001:db8::/32` or a single address; null where it is neither. A block of IPv4
 * addresses in IPv6 clothes is one of IPv4 addresses, because that is how clients are known.
 */
export function parseCidr(text: string): AddressBlock | null {
  const [network = "", length, ...rest] = text.split("/")
  const version = isIP(network)
  if (version === 0 || network.includes("%") || rest.length > 0) return null
  const family = version === 4 ? "ipv4" : "ipv6"
  const prefix = length === undefined ? ADDRESS_BITS[family] : readPrefix(length)
  if (prefix === null || prefix > ADDRESS_BITS[family]) return null
  const mapped = family === "ipv6" && prefix >= MAPPED_BITS ? readMapped(network) : null
  if (mapped === null) return { network, prefix, family }
  return { network: mapped, prefix: prefix - MAPPED_BITS, family: "ipv4" }
}

/** Throws where a text is no CIDR: what comes here was checked when it was given. */
export function createAddressList(cidrs: readonly string[]): AddressList {
  // One list a family: `::/0` would let all of IPv4 in as well.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const cidr of cidrs) {
    const block = parseCidr(cidr)
    if (block === null) throw new TypeError(`not a CIDR: ${cidr}`)
    lists[block.family].addSubnet(block.network, block.prefix, block.family)
  }
  return { check }

  function check(address: string): boolean {
    const version = isIP(address)
    if (version === 0) return false
    const mapped = version === 6 ? readMapped(address) : address
    return mapped === null ? lists.ipv6.check(address, "ipv6") : lists.ipv4.check(mapped, "ipv4")
  }
}

function readPrefix(digits: string): number | null {
  return /^(0|[1-9]\d{0,2})$/.test(digits) ? Number(digits) : null
}

/** The IPv4 address that an IPv6 address maps, as `::ffff:10.0.0.1` and `::ffff:a00:1` do. */
function readMapped(address: string): string | null {
  const url = `http://[${address}]`
  const host = URL.canParse(url) ? new URL(url).hostname : ""
  const [, high, low] = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(host) ?? []
  if (high === undefined || low === undefined) return null
  const bytes = [high, low].flatMap((part) => {
    const value = Number.parseInt(part, 16)
    return [value >> 8, value & 0xff]
  })
  return bytes.join(".")
}
