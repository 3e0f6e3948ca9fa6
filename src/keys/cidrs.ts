import { type AddressBlock, parseCidr } from "../http/cidr.ts"

/** The one way to write a block of addresses: no host bits, IPv6 at its shortest; null: none. */
export function normalizeCidr(text: string): string | null {
  const block = parseCidr(text)
  if (block === null) return null
  const network = block.family === "ipv4" ? maskIpv4(block) : maskIpv6(block)
  return `${network}/${block.prefix}`
}

function maskIpv4({ network, prefix }: AddressBlock): string {
  const bytes = network.split(".").map(Number)
  return maskParts(bytes, { bits: 8, prefix }).join(".")
}

function maskIpv6({ network, prefix }: AddressBlock): string {
  const [head = "", tail] = hostOf(network).split("::")
  const [left, right] = [groupsOf(head), groupsOf(tail ?? "")]
  const zeros = Array<number>(8 - left.length - right.length).fill(0)
  const masked = maskParts([...left, ...zeros, ...right], { bits: 16, prefix })
  return hostOf(masked.map((group) => group.toString(16)).join(":"))
}

/** Keeps the first `prefix` bits of a number that is given in parts of `bits`. */
function maskParts(
  parts: readonly number[],
  { bits, prefix }: { bits: number; prefix: number },
): number[] {
  return parts.map((part, place) => {
    const kept = Math.min(bits, Math.max(0, prefix - place * bits))
    const unit = 2 ** (bits - kept)
    return part - (part % unit)
  })
}

/** An IPv6 address as URLs write it: hexadecimal, the longest run of zeros left out. */
function hostOf(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1)
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16))
}
