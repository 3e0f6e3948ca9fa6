import { join } from "node:path"
import { describePostgres } from "../../db/queries/describe-postgres.ts"
import { programOnPath } from "../embedded/processes.ts"
import { type Io, Refused } from "./command.ts"
import { describeRedis } from "./redis-facts.ts"
import { type Urls, withStores } from "./stores.ts"

/**
 * A backup of servers of one's own: the dump is taken here, Redis's files must be copied where they are.
 * A restored dump beside an empty Redis is enough: Redis is built from it.
 */
export async function dumpPostgres(urls: Urls, dir: string, io: Io): Promise<number> {
  const { server, redisVersion } = await withStores(urls, async ({ sql, redis }) => ({
    server: (await describePostgres(sql)).version,
    redisVersion: (await describeRedis(redis))[0]?.version ?? "unknown",
  }))
  const file = join(dir, "fengate.dump")
  const tool = await findDump()
  const command = ["pg_dump", "--format=custom", "--no-owner", `--file=${file}`]
  if (tool === null || majorOf(tool.version) < majorOf(server)) {
    const has = tool === null ? "there is none" : `the one here is ${tool.version}`
    throw new Refused(
      `Postgres is ${server}, its pg_dump is needed, and ${has}: install it, or run where it is: ${command.join(" ")} "$DATABASE_URL"`,
    )
  }
  const child = Bun.spawn([tool.path, ...command.slice(1)], {
    env: { PATH: process.env.PATH ?? "", ...connectionOf(urls.databaseUrl) },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  })
  const said = await child.stderr.text()
  if ((await child.exited) !== 0) throw new Refused(`pg_dump failed: ${said.trim()}`)
  io.out(describe(file, redisVersion))
  return 0
}

async function findDump(): Promise<{ path: string; version: string } | null> {
  const path = programOnPath("pg_dump")
  if (path === null) return null
  const child = Bun.spawn([path, "--version"], { stdin: "ignore", stdout: "pipe" })
  const version = /(\d+[\d.]*)/.exec(await child.stdout.text())?.[1]
  return version === undefined ? null : { path, version }
}

function majorOf(version: string): number {
  return Number.parseInt(version, 10)
}

/** In the environment, so that the password is on no command line. */
function connectionOf(databaseUrl: string): Record<string, string> {
  const { hostname, port, username, password, pathname, searchParams } = new URL(databaseUrl)
  const sslmode = searchParams.get("sslmode")
  return {
    PGHOST: hostname.replace(/^\[|\]$/g, ""),
    PGPORT: port || "5432",
    PGUSER: decodeURIComponent(username),
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: decodeURIComponent(pathname.slice(1)),
    ...(sslmode !== null && { PGSSLMODE: sslmode }),
  }
}

function describe(file: string, redisVersion: string): string {
  return `${file} has all that Postgres had when it was begun.

Redis (${redisVersion}) keeps its files on its own machine; there, in its data directory:
  redis-cli CONFIG SET auto-aof-rewrite-percentage 0
  redis-cli INFO persistence | grep aof_rewrite_in_progress:0      # wait until it says so
  cp -a appendonlydir /somewhere/safe
  redis-cli CONFIG SET auto-aof-rewrite-percentage 100

To restore: createdb fengate; psql fengate -c 'CREATE ROLE fengate_reader NOLOGIN' (where it is not there);
pg_restore --no-owner --exit-on-error --dbname=fengate ${file}
Then start the program with an empty Redis: it is built from Postgres.
`
}
