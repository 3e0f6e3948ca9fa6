import { expect, test } from "bun:test"
import { hasTest } from "./support/titles.ts"

test("each test that the README names is there", async () => {
  const text = await Bun.file(new URL("README.md", import.meta.url)).text()
  const rows = text.split("\n").filter((line) => /^\| \d+ \|/.test(line))
  const named = rows.flatMap((row) => {
    const shown = row.split(" | ").at(-1)?.replace(/ \|$/, "") ?? ""
    return shown.split("<br>").map((each) => {
      const [, file = "", name = ""] = /^\[.*?\]\((.*?)\): (.*)$/.exec(each) ?? []
      return { file: `test/${file}`, name }
    })
  })
  expect(rows.length).toBeGreaterThan(25)
  expect(named.filter(({ file, name }) => name === "" || !hasTest(file, name))).toEqual([])
})
