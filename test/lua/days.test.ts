import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import fc from "fast-check"
import { readLuaFiles } from "../support/lua-files.ts"
import { type Scripts, startScripts } from "../support/scripts.ts"

/** Budgets end at midnight in Shanghai: the arithmetic of decide and revoke against two calendars. */
let scripts: Scripts
beforeAll(async () => {
  scripts = await startScripts()
})
afterAll(() => scripts.stop())

const FIRST_YEAR = 1970
const LAST_YEAR = 2200
const OFFSET_MS = 8 * 3_600_000
const DAY_MS = 86_400_000

/** The function of a script, as it stands there, over many times in one call. */
const PROGRAMS = {
  decide: programOf("decide", "find_today", "local day, month = nil, nil\nFUNCTION\nfind_today()"),
  revoke: programOf("revoke", "day_and_month", "FUNCTION\nlocal day, month = day_and_month(now)"),
}

function programOf(script: string, name: string, body: string): string {
  const text = readLuaFiles().find((file) => file.name === script)?.body ?? ""
  const found = new RegExp(`^( *)local function ${name}\\(.*?^\\1end$`, "ms").exec(text)
  if (found === null) throw new Error(`${script}.lua has no ${name}`)
  return `local floor, days = math.floor, {}
    for i = 1, #ARGV do
      local now = tonumber(ARGV[i])
      ${body.replace("FUNCTION", () => found[0])}
      days[i] = string.format("%.0f %.0f", day, month)
    end
    return days`
}

async function daysOf(program: string, times: readonly number[]): Promise<unknown> {
  return scripts.redis.eval(program, 0, ...times)
}

/** Eight hours ahead of UTC, as JavaScript has it: days since 1970, and year * 12 + month - 1. */
function expectedOf(ms: number): string {
  const there = new Date(ms + OFFSET_MS)
  const month = there.getUTCFullYear() * 12 + there.getUTCMonth()
  return `${Math.floor((ms + OFFSET_MS) / DAY_MS)} ${month}`
}

const time = fc.integer({ min: 0, max: Date.UTC(LAST_YEAR + 1, 0) })

for (const [script, program] of Object.entries(PROGRAMS)) {
  describe(`${script}'s day and month in Shanghai`, () => {
    test("are those of the calendar around the beginning of every month", async () => {
      const months = Array.from({ length: (LAST_YEAR - FIRST_YEAR + 1) * 12 }, (_, month) =>
        Date.UTC(FIRST_YEAR, month),
      )
      const times = months
        .flatMap((ms) => [ms - OFFSET_MS - 1, ms - OFFSET_MS, ms - OFFSET_MS + DAY_MS - 1, ms])
        .filter((ms) => ms >= 0)
      expect(await daysOf(program, times)).toEqual(times.map(expectedOf))
    })

    test("are those of the calendar at any time from 1970 to 2200", async () => {
      const property = fc.asyncProperty(
        fc.array(time, { minLength: 200, maxLength: 400 }),
        async (times) => {
          expect(await daysOf(program, times)).toEqual(times.map(expectedOf))
        },
      )
      await fc.assert(property, { numRuns: 20 })
    })

    test("are those that Shanghai itself has, since it gave up summer time", async () => {
      const format = new Intl.DateTimeFormat("en-CA", { timeZone: "Asia/Shanghai" })
      const step = 13 * DAY_MS + 3_599_999
      const count = Math.floor((Date.UTC(2100, 0) - Date.UTC(1992, 0)) / step)
      const times = Array.from({ length: count }, (_, i) => Date.UTC(1992, 0) + i * step)
      const there = times.map((ms) => {
        const [year = 0, month = 0, day = 0] = format.format(ms).split("-").map(Number)
        return `${Date.UTC(year, month - 1, day) / DAY_MS} ${year * 12 + month - 1}`
      })
      expect(await daysOf(program, times)).toEqual(there)
    })
  })
}
