import { expect, test } from "bun:test"
import { addressOf, seedUrls } from "../src/redis-url.ts"

test("a URL names one server, or several with the scheme, user and password of the first", () => {
  expect(seedUrls("redis://a:1")).toEqual(["redis://a:1"])
  expect(seedUrls("rediss://me:p%2Cw@a:1/0,b:2,[::1]:3")).toEqual([
    "rediss://me:p%2Cw@a:1/0",
    "rediss://me:p%2Cw@b:2/0",
    "rediss://me:p%2Cw@[::1]:3/0",
  ])
  expect(seedUrls("redis://:x@a:1,redis://:y@b:2")).toEqual(["redis://:x@a:1", "redis://:y@b:2"])
})

test("what is no URL is refused", () => {
  for (const wrong of [
    "",
    "localhost",
    "redis://a,",
    "redis://a,b:port",
    "redis://a,redis://b:x",
  ]) {
    expect(() => seedUrls(wrong)).toThrow(TypeError)
  }
})

test("an address has a port, also where the URL has none", () => {
  expect(addressOf("redis://a")).toBe("a:6379")
  expect(addressOf("redis://me:pw@[::1]:7000/0")).toBe("[::1]:7000")
})
