import { readdirSync } from "node:fs"
import { join } from "node:path"
import { listDistrusted } from "../../db/queries/list-distrusted.ts"
import { readWatermarks, type Watermark } from "../../db/queries/read-watermarks.ts"
import { commandOf } from "../../src/embedded/processes.ts"
import { oneNode } from "../../src/ledger/cluster.ts"
import { readMeta } from "../../src/ledger/meta.ts"
import { isCompared } from "../../src/ledger/server.ts"
import { eventually } from "../support/eventually.ts"
import type { Journal } from "./journal.ts"
import { readPlaces } from "./loss.ts"
import { isUp, type Site } from "./site.ts"

const SETTLED_MS = 120_000

/** When nothing moves any more, asks again under its key for each request without an answer. */
export async function settle(site: Site, journal: Journal): Promise<void> {
  await untilQuiet(site)
  journal.isQuiet = true
  const open = [...journal.intents.values()].filter((intent) => intent.class === "unknown")
  const asked = new Set(open.flatMap((intent) => intent.settle ?? []))
  for (const ask of asked) await ask()
  await untilQuiet(site)
}

export async function untilUp({ gateways }: Site): Promise<void> {
  for (const { port } of gateways) await isUp(port)
}

/** No revoke is left to be carried out, no loss to be looked at, and no instruction to be applied. */
async function untilQuiet(site: Site): Promise<void> {
  const { sql, dataDir } = site
  await untilUp(site)
  await eventually(() => requireNone(leftovers(dataDir)), { timeoutMs: SETTLED_MS })
  // What gateways have seen is written down before they are up: the keeper acts on it, and they close once more.
  await eventually(async () => (await sql`select 1 from losses where not handled`).length === 0, {
    timeoutMs: SETTLED_MS,
  })
  await untilOpen(site)
  await untilUp(site)
  await eventually(
    async () => {
      const open = await sql<{ text: string }[]>`
        select account_id || ' ' || number || ' ' || kind as text from instructions where not flushed
      `
      return requireNone(open.map(({ text }) => text))
    },
    { timeoutMs: SETTLED_MS },
  )
  await eventually(async () => requireNone(await behind(site)), { timeoutMs: SETTLED_MS })
}

/** A generation that is known to have lost something is replaced; a server of Postgres that is new is compared. */
async function untilOpen({ sql, redis }: Site): Promise<void> {
  const look = async () => (await listDistrusted(sql)).length === 0
  await eventually(look, { timeoutMs: SETTLED_MS })
  const isKnown = async (watermark: Watermark) =>
    watermark.isOpen &&
    !watermark.isRefilling &&
    (await isCompared(oneNode(redis().client), watermark))
  await eventually(
    async () => (await Promise.all((await readWatermarks(sql)).map(isKnown))).every(Boolean),
    { timeoutMs: SETTLED_MS },
  )
}

/** Partitions of which Redis has more than Postgres. */
async function behind(site: Site): Promise<string[]> {
  const places = await readPlaces(site.sql)
  const ends = await Promise.all(
    places.map(({ partition }) => readMeta(oneNode(site.redis().client), partition)),
  )
  return places.flatMap(({ partition, generation, entryNumber }, i) => {
    const end = ends[i]
    const isThere = end?.generation === generation && end.entryNumber === entryNumber
    const has = `Postgres has entry ${entryNumber} of generation ${generation}`
    return isThere ? [] : [`partition ${partition}: ${has}, Redis ${JSON.stringify(end)}`]
  })
}

function requireNone(left: readonly string[]): true {
  if (left.length > 0) throw new Error(`${left.length} are left: ${left.slice(0, 5).join()}`)
  return true
}

/** Files of processes that have ended: a gateway that runs carries out what they say. */
function leftovers(dataDir: string): string[] {
  const dir = join(dataDir, "revokes")
  return readdirSync(dir).filter((name) => commandOf(Number.parseInt(name, 10)) === null)
}
