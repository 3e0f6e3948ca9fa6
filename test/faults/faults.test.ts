import { afterAll, describe, expect, test } from "bun:test"
import { attempt } from "./attempt.ts"
import { SHORT_FAULTS } from "./catalogue/index.ts"
import { chanceFrom, newSeed } from "./chance.ts"
import { describeSite, type Site, startSite } from "./site.ts"
import { isClean, lineOf } from "./verdict.ts"

/** Each fault once, all of them on the same stores, one after the other: the short form of the matrix. */

const SEED = newSeed()
const chance = chanceFrom(SEED)
/** Far above what is measured: here it only says that nobody waits for ever. */
const [ANSWERED_MS_MAX, RECOVERED_MS_MAX] = [3_500, 45_000]
const TRY_MS = 180_000

let site: Site | null = null
afterAll(async () => {
  await site?.stop()
})

describe(`no fen is lost, and none is taken twice, by (SEED=${SEED})`, () => {
  for (const fault of SHORT_FAULTS) {
    test(
      fault.name,
      async () => {
        site ??= await startSite()
        const current = site
        const reason = fault.impossible?.(current) ?? null
        if (reason !== null) return console.log(`${fault.name}: not tried, because ${reason}.`)
        // Whatever fails leaves stores behind that the next one must not begin with.
        site = null
        try {
          const { verdict, times } = await attempt({ site: current, fault, chance, isLong: false })
          if (!isClean(verdict)) console.log(await describeSite(current))
          expect(verdict.findings).toEqual([])
          expect(lineOf(verdict)).toMatch(CLEAN)
          expect(times.recover).toBeLessThan(RECOVERED_MS_MAX)
          if (fault.freezesGateways !== true) {
            expect(times.slowestUnavailable).toBeLessThan(ANSWERED_MS_MAX)
          }
          site = current
        } finally {
          if (site === null) await current.stop()
        }
      },
      TRY_MS,
    )
  }
})

const CLEAN =
  /^lost=0 duplicated=0 phantom=0 refused_charged=0 overdraft=0 unknown=(\d+) resolved=\1 detected_loss=actual_loss=\d+$/
