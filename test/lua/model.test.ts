import { afterAll, beforeAll, expect, test } from "bun:test"
import fc from "fast-check"
import { type Gateway, type Scripts, startScripts } from "../support/scripts.ts"
import { ACCOUNTS, account, SLOTS, step } from "./model/steps.ts"
import { World } from "./model/world.ts"

/**
 * decide, revoke and apply against a model that says what they are for. A failure prints its seed and
 * the smallest sequence of steps that shows it.
 */
let scripts: Scripts
const gateways: Gateway[] = []
beforeAll(async () => {
  scripts = await startScripts()
  // Nothing here is about a Redis that ends.
  await scripts.redis.config("SET", "appendfsync", "no")
  for (let i = 0; i <= SLOTS; i++) gateways.push(await scripts.gateway())
})
afterAll(() => scripts.stop())

const NOON = Date.UTC(2035, 4, 15, 4)

test("the scripts do what the model does, for every sequence of steps", async () => {
  let taken = 0
  const property = fc.asyncProperty(
    fc.array(account, { minLength: ACCOUNTS, maxLength: ACCOUNTS }),
    fc.array(step, { minLength: 1, maxLength: 30, size: "max" }),
    async (accounts, steps) => {
      await scripts.setClock(NOON)
      const world = await World.create(scripts, structuredClone(accounts), gateways)
      for (const next of steps) {
        await world.take(next)
        await world.compare()
        taken++
      }
      await world.audit()
    },
  )
  await fc.assert(property, { numRuns: 150 })
  expect(taken).toBeGreaterThan(150)
})
