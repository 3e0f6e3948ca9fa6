import { expect, test } from "bun:test"
import { useSystem } from "../support/system.ts"

const system = useSystem()

test("the price list is open, and has the sixteen interfaces at 1 fen each", async () => {
  const { status, body } = await system().request("GET", "/v1/interfaces")
  expect(status).toBe(200)
  expect(body.items.map(({ id }: { id: string }) => id).toSorted()).toEqual([
    "account.get",
    "balance.add",
    "balance.deduct",
    "binding.add",
    "binding.initiate",
    "binding.list",
    "binding.users",
    "email.send",
    "user.avatar",
    "user.feedback",
    "user.login",
    "user.password",
    "user.qq",
    "user.register",
    "user.sign_in",
    "vip.get",
  ])
  expect(body.items.find(({ id }: { id: string }) => id === "user.login")).toEqual({
    id: "user.login",
    name: "User login",
    method: "POST",
    path: "/api/user/login",
    priceFen: 1,
    price: "0.01",
    chargeOn: "2xx",
  })
})
