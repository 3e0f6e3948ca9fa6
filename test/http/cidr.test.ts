import { describe, expect, test } from "bun:test"
import { createAddressList, parseCidr } from "../../src/http/cidr.ts"

describe("a list lets in what one of its blocks holds", () => {
  test.each([
    [["10.0.0.0/8"], "10.255.255.255", true],
    [["10.0.0.0/8"], "11.0.0.0", false],
    [["10.0.0.0/8"], "::ffff:10.1.2.3", true],
    [["10.0.0.0/8"], "::ffff:a01:203", true],
    [["10.0.0.0/8"], "::a01:203", false],
    [["192.0.2.1"], "192.0.2.1", true],
    [["192.0.2.1"], "192.0.2.2", false],
    [["192.0.2.129/25"], "192.0.2.200", true],
    [["192.0.2.129/25"], "192.0.2.127", false],
    [["0.0.0.0/0"], "203.0.113.1", true],
    [["0.0.0.0/0"], "2001:db8::1", false],
    [["::/0"], "2001:db8::1", true],
    [["::/0"], "203.0.113.1", false],
    [["::/0"], "::ffff:203.0.113.1", false],
    [["2001:db8::/32"], "2001:0DB8:ffff::1", true],
    [["2001:db8::/33"], "2001:db8:8000::", false],
    [["2001:db8::1"], "2001:db8:0:0:0:0:0:1", true],
    [["::ffff:10.0.0.0/104"], "10.1.2.3", true],
    [["::ffff:a00:0/104"], "11.1.2.3", false],
    [["10.0.0.0/8", "2001:db8::/32"], "2001:db8::1", true],
    [[], "10.0.0.1", false],
    [["0.0.0.0/0", "::/0"], "unknown", false],
    [["0.0.0.0/0", "::/0"], "", false],
  ])("%j and %s: %j", (cidrs, address, isIn) => {
    expect(createAddressList(cidrs).check(address)).toBe(isIn)
  })
})

test.each([
  ...["", "x", "10.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8/8"],
  ...["010.0.0.0/8", "2001:db8::/129", "2001:db8:::/32", "fe80::1%eth0/64", "10.0.0.0/8 ", "/8"],
])("%j is no block", (text) => {
  expect(parseCidr(text)).toBeNull()
  expect(() => createAddressList([text])).toThrow("not a CIDR")
})
