import { expect, test } from "bun:test"
import { addressGroup, createClientAddress } from "../../src/http/address.ts"

const request = (forwarded?: string) =>
  new Request(
    "http://localhost/",
    forwarded === undefined ? {} : { headers: { "x-forwarded-for": forwarded } },
  )
const socket = (address: string) => ({ requestIP: () => ({ address }) })

test("without trusted proxies the address is the socket's, whatever is forwarded", () => {
  const clientAddress = createClientAddress([])
  expect(clientAddress(request("1.2.3.4"), socket("9.9.9.9"))).toBe("9.9.9.9")
  expect(clientAddress(request(), socket("::ffff:9.9.9.9"))).toBe("9.9.9.9")
  expect(clientAddress(request(), null)).toBe("unknown")
})

test("behind trusted proxies it is the rightmost address that is not one of theirs", () => {
  const clientAddress = createClientAddress(["10.0.0.1", "10.0.0.2"])
  const through = (forwarded?: string) => clientAddress(request(forwarded), socket("10.0.0.1"))
  expect(through("1.2.3.4")).toBe("1.2.3.4")
  expect(through("6.6.6.6, 1.2.3.4, 10.0.0.2")).toBe("1.2.3.4")
  expect(through("1.2.3.4:5678")).toBe("1.2.3.4")
  expect(through("[2001:db8::1]:443")).toBe("2001:db8::1")
  expect(through("6.6.6.6, nonsense")).toBe("10.0.0.1")
  expect(through()).toBe("10.0.0.1")
  expect(through("10.0.0.2")).toBe("10.0.0.2")
  expect(clientAddress(request("1.2.3.4"), socket("8.8.8.8"))).toBe("8.8.8.8")
})

test("a rate limit takes an IPv4 address, or the /64 of an IPv6 one, for one client", () => {
  expect(addressGroup("1.2.3.4")).toBe("1.2.3.4")
  expect(addressGroup("2001:db8:0:1::5")).toBe("2001:db8:0:1::/64")
  expect(addressGroup("2001:0db8::1:2:3:4")).toBe(addressGroup("2001:db8:0:0:9::"))
  expect(addressGroup("::1")).toBe("0:0:0:0::/64")
  expect(addressGroup("unknown")).toBe("unknown")
})
