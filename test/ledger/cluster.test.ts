import { describe, expect, test } from "bun:test"
import { parseClaims } from "../../src/ledger/cluster.ts"

describe("what a node says of who has which slots", () => {
  const told = [
    "a1 10.0.0.1:7000@17000 myself,master - 0 0 5 connected 0-99 200 [300->-b2]",
    "b2 10.0.0.2:7001@17001,redis-b.example master - 0 1 7 connected 100-199",
    "c3 10.0.0.3:7002@17002 slave b2 0 1 7 connected",
    "d4 :0@0 master,noaddr - 1 1 3 disconnected 400-500",
    "",
  ].join("\n")

  test("ranges and single slots of masters, with their epochs; no replicas, and nobody without an address", () => {
    expect(parseClaims(told, { host: "10.0.0.1" })).toEqual([
      { from: 0, through: 99, epoch: 5, address: "10.0.0.1:7000" },
      { from: 200, through: 200, epoch: 5, address: "10.0.0.1:7000" },
      { from: 100, through: 199, epoch: 7, address: "10.0.0.2:7001" },
    ])
  })

  test("over TLS a node is known by its name, because its certificate has that", () => {
    const addresses = parseClaims(told, { host: "10.0.0.1", tls: {} }).map(({ address }) => address)
    expect(new Set(addresses)).toEqual(new Set(["10.0.0.1:7000", "redis-b.example:7001"]))
  })

  test("a node that does not know its own address has the one that was asked", () => {
    const [claim] = parseClaims(":7000@17000 myself,master", { host: "::1" })
    expect(claim).toBeUndefined()
    const line = "a1 :7000@17000 myself,master - 0 0 1 connected 0-16383"
    expect(parseClaims(line, { host: "::1" })).toEqual([
      { from: 0, through: 16_383, epoch: 1, address: "[::1]:7000" },
    ])
  })
})
