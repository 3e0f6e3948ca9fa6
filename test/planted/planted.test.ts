import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { hasTest } from "../support/titles.ts"
import { FAULTS } from "./catalogue/index.ts"
import { countPlaces, type PlantedFault, plant } from "./fault.ts"
import { tryFault } from "./judge.ts"
import { readOfRoot } from "./tree.ts"

setDefaultTimeout(60_000)

/** `npm run test:planted` plants all of them. Here: that none has lost its place, or its test. */

describe("every planted fault", () => {
  test("finds its place in the program once", () => {
    const misplaced = FAULTS.filter((fault) => countPlaces(fault, readOfRoot).some((n) => n !== 1))
    expect(misplaced.map(({ name }) => name)).toEqual([])
  })

  test("changes something", () => {
    const idle = FAULTS.filter(({ edits }) => edits.every(({ from, to }) => from === to))
    expect(idle.map(({ name }) => name)).toEqual([])
  })

  test("names a test that there is", () => {
    const unknown = FAULTS.filter(({ caughtBy: { file, test } }) => !hasTest(file, test))
    expect(unknown.map(({ caughtBy }) => caughtBy)).toEqual([])
  })

  test("stands in the README, with its test, and the README has no other", () => {
    const rows = [...readOfRoot("test/planted/README.md").matchAll(/^\| (\d+) \| (.*) \|$/gm)]
    expect(rows.map(([, , row]) => row)).toEqual(
      FAULTS.map(({ name, loses, caughtBy: { file, test } }) => {
        const path = file.replace("test/", "../")
        return `${name} | ${loses} | [${file.replace("test/", "")}](${path}): ${test}`
      }),
    )
  })
})

const MONEY: PlantedFault = {
  name: "a fault of this test",
  loses: "nothing",
  edits: [
    {
      file: "src/money.ts",
      from: "if (!Number.isSafeInteger(value) || value < 0) {",
      to: "if (!Number.isSafeInteger(value)) {",
    },
  ],
  caughtBy: { file: "test/money.test.ts", test: "fen refuses whatever is not an amount" },
}

function moneyWith(to: string, caughtBy = MONEY.caughtBy): PlantedFault {
  return { ...MONEY, edits: MONEY.edits.map((edit) => ({ ...edit, to })), caughtBy }
}

describe("a fault", () => {
  test("is caught where an assertion of the named test fails", async () => {
    expect(await tryFault(MONEY)).toMatchObject({ isCaught: true })
  })

  test("is missed where the test passes all the same", async () => {
    const { isCaught, why } = await tryFault(
      moneyWith("if (!Number.isSafeInteger(value) || 0 > value) {"),
    )
    expect([isCaught, why]).toEqual([false, "passed: nothing was noticed"])
  })

  test("is missed where the program cannot be loaded any more", async () => {
    const { isCaught, why } = await tryFault(moneyWith("if ("))
    expect([isCaught, why]).toEqual([false, expect.stringContaining("cannot be loaded")])
  })

  test("is missed where the test throws before it comes to an assertion", async () => {
    const caughtBy = {
      ...MONEY.caughtBy,
      test: "fen takes integers from nothing to the largest exact one",
    }
    const { isCaught, why } = await tryFault(moneyWith("if (nobody(value)) {", caughtBy))
    expect([isCaught, why]).toEqual([false, expect.stringContaining("broken: nobody")])
  })

  test("is missed where the named test is not there", async () => {
    const caughtBy = { file: "test/money.test.ts", test: "fen refuses whatever" }
    const fault = moneyWith("if (!Number.isSafeInteger(value)) {", caughtBy)
    expect(await tryFault(fault)).toMatchObject({ isCaught: false })
  })

  test("whose text is not there, or there twice, is an error", () => {
    const tree = { read: readOfRoot, write: () => undefined }
    for (const from of ["nobody wrote this", "value"]) {
      const edits = [{ file: "src/money.ts", from, to: "" }]
      expect(() => plant({ ...MONEY, edits }, tree)).toThrow(/finds its place \d+ times/)
    }
  })
})
