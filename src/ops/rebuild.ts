import type { Sql } from "../../db/connection.ts"
import { migrate } from "../../db/migrate.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { writeAudit } from "../../db/queries/write-audit.ts"
import { auditOf, SYSTEM } from "../audit.ts"
import { startEmbeddedStores } from "../embedded/index.ts"
import { alone } from "../recovery/keeper.ts"
import { type Command, type Io, parseWords, Refused, readNumber, WrongUsage } from "./command.ts"
import { giveUpUnflushed } from "./giving-up.ts"
import { rebuildPartitions, repartitionLedger } from "./rebuilding.ts"
import {
  findInstallation,
  requireRunning,
  type Stores,
  type Urls,
  withOneConnection,
  withStores,
} from "./stores.ts"

const PARTITIONS_MAX = 1_024

/** Builds Redis anew from Postgres on purpose, for the same number of partitions or another. */
export const rebuild: Command = {
  summary: "builds Redis anew from Postgres, also for another number of PARTITIONS",
  usage: `npm run ops -- rebuild [--partitions N | --give-up-unflushed PARTITION]

Flushes what Redis still has, then builds a new generation of every partition from Postgres: all
accounts, and the results of requests with an Idempotency-Key of the last 24 h. Holds do not outlive it.

Without --partitions it may be done while calls are charged: a partition answers 503 from the moment in
which it is fenced until it is built, 0.1 s and more, by its number of accounts.

  --partitions N  gives the ledger N partitions. Stop the program first, everywhere: it is refused while
                  a gateway, a flusher or a keeper is connected to Postgres or Redis. An embedded
                  installation has its stores started for it, and stopped again. Afterwards start the
                  program with PARTITIONS=N.
  --give-up-unflushed PARTITION
                  the last resort for a partition that was stopped and cannot be flushed any more: builds
                  it anew without the records that Postgres does not have. They are printed, one JSON
                  object a line, counted in an incident, and gone.
`,
  async run(words, io) {
    const { values } = parseWords(words, { options: OPTIONS })
    const { partitions: word, "give-up-unflushed": partition } = values
    if (partition !== undefined) {
      if (word !== undefined) throw new WrongUsage("Give one of both options.")
      return await giveUp(partition, io)
    }
    const partitions =
      word === undefined
        ? null
        : readNumber(word, { name: "--partitions", min: 1, max: PARTITIONS_MAX })
    const startedAt = performance.now()
    const log = (line: string) => io.err(`${line}\n`)
    const built = await withInstallation(io, partitions, (urls) =>
      withStores(urls, (stores) =>
        alone(urls.databaseUrl, () =>
          withOneConnection(urls, (connection) =>
            rebuildAll({ stores, connection, partitions, log }),
          ),
        ),
      ),
    )
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
    io.out(`${built} partitions are built anew, in ${seconds} s\n`)
    if (partitions !== null) io.out(`start the program with PARTITIONS=${partitions}\n`)
    return 0
  },
}

const OPTIONS = {
  partitions: { type: "string" },
  "give-up-unflushed": { type: "string" },
} as const

async function giveUp(word: string, { env, out, err }: Io): Promise<number> {
  const [name, max] = ["--give-up-unflushed", PARTITIONS_MAX - 1]
  const partition = readNumber(word, { name, min: 0, max })
  const urls = requireRunning(env)
  const given = await withStores(urls, (stores) =>
    alone(urls.databaseUrl, () =>
      giveUpUnflushed(stores, {
        partition,
        log: (line) => err(`${line}\n`),
        keep: (line) => out(`${line}\n`),
      }),
    ),
  )
  err(`${given} records were given up; partition ${partition} goes on without them\n`)
  return 0
}

type Rebuild = {
  stores: Stores
  /** One connection, whose end ends what is on it. */
  connection: Sql
  partitions: number | null
  log(line: string): void
}

async function rebuildAll({ stores, connection, partitions, log }: Rebuild): Promise<number> {
  const before = (await readOpening(stores.sql).catch(() => null))?.partitions
  if (before === undefined) throw new Refused("This database has no ledger yet: start the program.")
  if (partitions !== null) {
    await repartitionLedger({ ...stores, connection }, { from: before, to: partitions, log })
  }
  const count = partitions ?? before
  await rebuildPartitions(stores, { partitions: count, isFenced: partitions !== null, log })
  const audit = auditOf(SYSTEM, "ledger.rebuilt", { partitions: count })
  await writeAudit(stores.sql, { ...audit, target: "ledger" })
  return count
}

/** An embedded installation that does not run is run for as long as this takes, its stores alone. */
async function withInstallation<Value>(
  { env, err }: Io,
  partitions: number | null,
  work: (urls: Urls) => Promise<Value>,
): Promise<Value> {
  const installation = findInstallation(env)
  if (installation.kind === "running" && partitions !== null) {
    throw new Refused(
      `Process ${installation.pid} runs on ${installation.config.dataDir}: stop it first.`,
    )
  }
  if (installation.kind !== "stopped") return work(installation)
  const { dataDir } = installation.config
  const stores = await startEmbeddedStores({ dataDir, onProgress: (line) => err(`${line}\n`) })
  try {
    await migrate(stores.databaseUrl)
    return await work(stores)
  } finally {
    await stores.stop()
  }
}
