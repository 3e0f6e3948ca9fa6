import { expect, test } from "bun:test"
import { PASSWORDS_WAITING_MAX } from "../src/limits.ts"
import { createPasswords } from "../src/passwords.ts"

test("a password matches its own hash, and nobody's hash never", async () => {
  const passwords = createPasswords()
  const hash = await passwords.hash("correct horse")
  expect(hash).toStartWith("$argon2id$v=19$m=19456,t=2,")
  expect(await passwords.matches("correct horse", hash)).toBe(true)
  expect(await passwords.matches("wrong horse", hash)).toBe(false)
  expect(await passwords.matches("correct horse", null)).toBe(false)
})

test("turns are taken one after the other, and one that fails does not stop the next", async () => {
  const { inTurn } = createPasswords()
  const order: string[] = []
  const work = (name: string, fails: boolean) => async () => {
    order.push(`${name} begins`)
    await Bun.sleep(1)
    order.push(`${name} ends`)
    if (fails) throw new Error(name)
    return name
  }
  const turns = await Promise.allSettled([
    inTurn(work("a", false)),
    inTurn(work("b", true)),
    inTurn(work("c", false)),
  ])
  expect(order).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"])
  expect(turns.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"])
})

test("past the bound nobody waits, and room comes back", async () => {
  const { inTurn } = createPasswords()
  const gate = Promise.withResolvers<void>()
  const turns = Array.from({ length: PASSWORDS_WAITING_MAX }, () => inTurn(() => gate.promise))
  expect(await inTurn(async () => 1)).toEqual({ status: "busy" })
  gate.resolve()
  await Promise.all(turns)
  expect(await inTurn(async () => 1)).toEqual({ status: "done", value: 1 })
})
