import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { ERRORS } from "../src/errors.ts"

test("the README's table of errors is the registry, code by code", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8")
  const rows = [...readme.matchAll(/^\| `(\w+)` \| (\d{3}) \| (.+?) \| (yes|no) \|$/gm)]
  const told = rows.map(([, code, status, title, later]) => ({ code, status, title, later }))
  const known = Object.entries(ERRORS).map(([code, { status, title, retryable }]) => ({
    code,
    status: String(status),
    title,
    later: retryable ? "yes" : "no",
  }))
  expect(told).toEqual(known)
})
