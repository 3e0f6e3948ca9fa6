import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { connectSql } from "../../../db/connection.ts"
import { oneNode } from "../../../src/ledger/cluster.ts"
import { readMeta } from "../../../src/ledger/meta.ts"
import type { Fault, Scene } from "../fault.ts"
import { type Place, readPlaces } from "../loss.ts"
import { redeemCode, type Stage } from "../plays.ts"
import type { Site } from "../site.ts"
import { sendBy } from "./redemptions.ts"

/**
 * A base backup of Postgres is put back, while gateways charge on: what was flushed since is filled up
 * again from the streams, and nothing changes the account plane before.
 */

const [CODES, CODE_FEN] = [80, 60]
const REDEEM_EVERY_MS = 100
/** So many are redeemed just before, and so many in the moment in which that is possible again. */
const [BEFORE, AFTER] = [3, 5]

const momentAgo = restored("Postgres restored to a moment ago", {
  short: [300, 1_000],
  long: [500, 5_000],
})

/** Well within the time for which streams keep what was flushed. */
const MINUTES_MS = 120_000

const minutesAgo: Fault = {
  ...restored("Postgres restored to two minutes ago", {
    short: [MINUTES_MS, MINUTES_MS],
    long: [MINUTES_MS, MINUTES_MS],
  }),
  isSlow: true,
  isLongOnly: true,
}

type Ages = { short: readonly [number, number]; long: readonly [number, number] }

function restored(name: string, { short, long }: Ages): Fault {
  let told: readonly Place[] = []
  let incidents = 0
  let redeeming: Promise<unknown> = Promise.resolve()
  const findings: string[] = []
  return {
    name,
    outageMs: [0, 300],
    longOutageMs: [0, 3_000],
    async strike(at) {
      const { site, chance, note, isLong } = at
      const codes = await site.makeCodes(CODE_FEN, CODES)
      const copy = await backUp(site)
      await Bun.sleep(chance.between(...(isLong ? long : short)))
      // What comes meanwhile is in the streams alone.
      if (chance.is(0.5)) site.flusher.freeze()
      await redeemEach(at, codes.splice(0, BEFORE))
      await Bun.sleep(chance.between(0, 300))
      const had = await countRecords(site)
      await site.postgres.kill()
      for (const { toPostgres } of site.roles) toPostgres.refuse()
      site.flusher.thaw()
      return async () => {
        await putBack(site, copy)
        await site.postgres.start()
        note(`${had - (await countRecords(site))} records were missing`)
        told = await readTold(site)
        incidents = await countIncidents(site)
        redeeming = redeemUntil(at, { codes, isOver: () => isFilled(site, told) }).then((refused) =>
          note(`${refused} redemptions were answered 503 meanwhile`),
        )
        for (const { toPostgres } of site.roles) toPostgres.accept()
      }
    },
    async isBack({ site }) {
      if (!(await isFilled(site, told))) return false
      await redeeming
      const added = (await countIncidents(site)) - incidents
      if (added !== told.length) {
        findings.push(
          `${added} incidents tell of Postgres, and ${told.length} partitions were behind`,
        )
      }
      return true
    },
    check: async () => findings.splice(0),
  }
}

/** As a server does it that archives nothing: the files while it runs, then the log that mends them. */
async function backUp({ postgres, ground }: Site): Promise<string> {
  const data = join(postgres.dir, "data")
  const copy = join(ground.dir, "postgres-backup")
  rmSync(copy, { recursive: true, force: true })
  // A pool whose server was killed may never give a connection to be kept.
  const session = connectSql(postgres.url, { max: 1, applicationName: "test backup" })
  try {
    await session`select pg_backup_start('test', true)`
    // Files that end meanwhile are the log's matter, too.
    await run("cp", "-a", data, copy)
    const [stopped] = await session<{ labelfile: string }[]>`
      select labelfile from pg_backup_stop(false)
    `
    if (stopped === undefined) throw new Error("the backup has no label")
    for (const name of ["postmaster.pid", "postmaster.opts", "pg_wal"]) {
      rmSync(join(copy, name), { recursive: true, force: true })
    }
    await run("cp", "-a", join(data, "pg_wal"), join(copy, "pg_wal"))
    writeFileSync(join(copy, "backup_label"), stopped.labelfile, { mode: 0o644 })
  } finally {
    await session.end({ timeout: 1 })
  }
  return copy
}

async function putBack({ postgres }: Site, copy: string): Promise<void> {
  const data = join(postgres.dir, "data")
  rmSync(data, { recursive: true })
  await run("cp", "-a", copy, data)
}

async function run(...command: string[]): Promise<void> {
  await Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).exited
}

async function countRecords({ sql }: Site): Promise<number> {
  const [row] = await sql<{ records: number }[]>`
    select sum(records)::float8 as records from partitions
  `
  return row?.records ?? 0
}

/** What Postgres had told Redis that it has, where it does not have it now. */
async function readTold(site: Site): Promise<Place[]> {
  const places = await readPlaces(site.sql)
  const metas = await Promise.all(
    places.map(({ partition }) => readMeta(oneNode(site.redis().client), partition)),
  )
  return places.flatMap((place, i) => {
    const meta = metas[i]
    if (!meta) return []
    const { generation, entryFlushed: entryNumber } = meta
    const told = { partition: place.partition, generation, entryNumber }
    return isAt(place, told) ? [] : [told]
  })
}

function isAt(place: Place, { generation, entryNumber }: Place): boolean {
  if (place.generation !== generation) return place.generation > generation
  return place.entryNumber >= entryNumber
}

/** Each partition has again what it had, and the account plane may go on. */
async function isFilled({ sql }: Site, told: readonly Place[]): Promise<boolean> {
  const filling = await sql`select 1 from partitions where is_refilling`
  const places = new Map((await readPlaces(sql)).map((place) => [place.partition, place]))
  const isThere = (end: Place) => {
    const place = places.get(end.partition)
    return place !== undefined && isAt(place, end)
  }
  return filling.length === 0 && told.every(isThere)
}

async function countIncidents({ sql }: Site): Promise<number> {
  return (await sql`select 1 from incidents where kind = 'postgres_back'`).length
}

type Redeeming = { codes: string[]; isOver(): Promise<boolean> }

/** Again and again, because what is let in too early would be lost. Answers how many were refused. */
async function redeemUntil(at: Scene, { codes, isOver }: Redeeming): Promise<number> {
  let refused = 0
  while (codes.length > AFTER) {
    refused += await redeemEach(at, codes.splice(0, 1))
    if (await isOver().catch(() => false)) break
    await Bun.sleep(REDEEM_EVERY_MS)
  }
  return refused + (await redeemEach(at, codes.splice(0, AFTER)))
}

async function redeemEach(at: Scene, codes: readonly string[]): Promise<number> {
  const sendOne = sendBy(at)
  let refused = 0
  const send: Stage["send"] = async (...words) => {
    const fate = await sendOne(...words)
    if (fate.is === "answered" && fate.status === 503) refused++
    return fate
  }
  const { journal } = at.load.stage
  for (const code of codes) {
    await redeemCode({ journal, send }, at.chance.pick(at.site.accounts.others), code)
  }
  return refused
}

export const RESTORED_FAULTS: readonly Fault[] = [momentAgo, minutesAgo]
