import { expect, test } from "bun:test"
import { PARTS_OF_RUN, readOptions } from "../../bench/options.ts"

test("a run has every part in its order, unless some are chosen", () => {
  expect(readOptions([]).only).toEqual([...PARTS_OF_RUN])
  expect(readOptions(["--only", "latency, charge"]).only).toEqual(["charge", "latency"])
})

test("what cannot be run is refused with a sentence", () => {
  const refusals: [string[], string][] = [
    [["--only", "charge,speed"], '"speed" is none of them.'],
    [["--only", "charge", "--write"], "--write keeps a whole run: leave --only away."],
    [["--rounds", "0"], "--rounds must be a whole number above 0."],
    [["--accounts", "8"], "--accounts must not be lower than --connections: each has its own."],
  ]
  for (const [words, sentence] of refusals) expect(() => readOptions(words)).toThrow(sentence)
})
