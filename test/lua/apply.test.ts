import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type AccountId, newAccountId } from "../../src/ids.ts"
import type { Instruction } from "../../src/ledger/instructions.ts"
import { fen } from "../../src/money.ts"
import { type Scripts, startScripts } from "../support/scripts.ts"
import { apply as applyAll, instruction } from "./instructions.ts"

let scripts: Scripts
beforeAll(async () => {
  scripts = await startScripts()
})
afterAll(() => scripts.stop())

const open = (authVersion = 1) => instruction({ number: 1, kind: "open", authVersion })
const credit = (number: number, amount: number) => instruction({ number, amountFen: fen(amount) })

const apply = (accountId: AccountId, instructions: Instruction[], args = ["1", "1"]) =>
  applyAll(scripts, accountId, { instructions, args })

describe("instructions", () => {
  test("open an account, credit it and raise its auth version, in their order, in one entry", async () => {
    const accountId = newAccountId()
    const { entryNumber, written } = await scripts.meta()
    const raise = instruction({ number: 3, kind: "auth_version", authVersion: 2, sourceId: null })
    expect(await apply(accountId, [open(), credit(2, 500), raise, credit(4, 7)])).toEqual({
      ...{
        balanceFen: fen(507),
        heldFen: fen(0),
        seq: 2,
        instruction: 4,
        authVersion: 2,
        status: "open",
      },
    })
    expect(await scripts.meta()).toMatchObject({
      entryNumber: entryNumber + 1,
      written: written + 2,
    })
    expect((await scripts.entries()).at(-1)?.records).toMatchObject([
      { accountId, kind: "open", type: 0, seq: 0, instruction: { number: 1, authVersion: 1 } },
      {
        kind: "redemption",
        type: 1,
        seq: 1,
        amountFen: 500,
        sourceId: "rdm_2",
        instruction: { number: 2 },
      },
      {
        kind: "auth_version",
        type: 0,
        seq: 1,
        sourceId: null,
        instruction: { number: 3, authVersion: 2 },
      },
      {
        kind: "redemption",
        type: 1,
        seq: 2,
        balanceAfterFen: 507,
        instruction: { number: 4, authVersion: 2 },
      },
    ])
  })

  test("are applied once, however often they come, alone or among others", async () => {
    const accountId = newAccountId()
    await apply(accountId, [open(), credit(2, 500)])
    const { entryNumber } = await scripts.meta()
    const again = await apply(accountId, [open(), credit(2, 500)])
    expect(again).toMatchObject({ balanceFen: 500, instruction: 2 })
    expect((await scripts.meta()).entryNumber).toBe(entryNumber)
    expect(await apply(accountId, [credit(2, 500), credit(3, 1)])).toMatchObject({
      balanceFen: 501,
      seq: 2,
    })
  })

  test("stop at a gap, and nothing before it is written either", async () => {
    const accountId = newAccountId()
    await apply(accountId, [open()])
    expect(await apply(accountId, [credit(3, 1)])).toBe("gap")
    expect(await apply(accountId, [credit(2, 1), credit(4, 1)])).toBe("gap")
    expect(await scripts.state(accountId)).toMatchObject({ balanceFen: 0, instruction: 1, seq: 0 })
  })

  test("of an account that was never opened are a gap, also where there is none", async () => {
    const accountId = newAccountId()
    expect(await apply(accountId, [credit(1, 1)])).toBe("gap")
    expect(await apply(accountId, [credit(2, 1)])).toBe("gap")
    expect(await apply(accountId, [])).toBe("gap")
    expect(await scripts.stateBytes(accountId)).toBeNull()
  })

  test("open an account once: a second opening is a gap", async () => {
    const accountId = newAccountId()
    await apply(accountId, [open()])
    expect(await apply(accountId, [instruction({ number: 2, kind: "open" })])).toBe("gap")
  })

  test("that are none answer the state as it is", async () => {
    const accountId = await scripts.put({ balanceFen: 5, heldFen: 2, seq: 9, instruction: 4 })
    expect(await apply(accountId, [])).toMatchObject({
      balanceFen: 5,
      heldFen: 2,
      seq: 9,
      instruction: 4,
    })
  })

  test("keep what is held, and what a later version keeps behind the state", async () => {
    const accountId = await scripts.put({
      balanceFen: 5,
      heldFen: 2,
      seq: 9,
      instruction: 4,
      rest: "later",
    })
    expect(await apply(accountId, [credit(5, 1)])).toMatchObject({
      balanceFen: 6,
      heldFen: 2,
      seq: 10,
    })
    expect((await scripts.stateBytes(accountId))?.subarray(33).toString()).toBe("later")
  })

  test("may not bring a balance out of the range in which numbers are exact", async () => {
    const accountId = newAccountId()
    await apply(accountId, [open(), credit(2, 4_503_599_627_370_495)])
    expect(await apply(accountId, [credit(3, 1)])).toBe("too_large")
    expect(await scripts.state(accountId)).toMatchObject({
      balanceFen: 4_503_599_627_370_495,
      instruction: 2,
    })
  })

  test("are exact at every size, in state and stream", async () => {
    for (const amount of [1, 90_000_000_000_000, 999_999_999_999_999, 1_000_000_000_000_001]) {
      const accountId = newAccountId()
      expect(await apply(accountId, [open(), credit(2, amount)])).toMatchObject({
        balanceFen: amount,
      })
      expect((await scripts.entries()).at(-1)?.records.at(-1)).toMatchObject({
        ...{ amountFen: amount, balanceBeforeFen: 0, balanceAfterFen: amount },
      })
    }
  })

  test("refuse another generation, another number of partitions, and a stream that is not there", async () => {
    const accountId = newAccountId()
    expect(await apply(accountId, [open()], ["2", "1"])).toBe("fenced")
    expect(await apply(accountId, [open()], ["1", "2"])).toBe("fenced")
    await scripts.redis.rename("{p0}:1:stream", "kept")
    expect(await apply(accountId, [open()])).toBe("fenced")
    expect(await scripts.stateBytes(accountId)).toBeNull()
    await scripts.redis.rename("kept", "{p0}:1:stream")
    expect(await apply(accountId, [open()])).toMatchObject({ instruction: 1 })
  })
})
