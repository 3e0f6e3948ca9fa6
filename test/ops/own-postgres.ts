import { chownSync, existsSync, mkdirSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { ownerFor } from "../../src/embedded/postgres-owner.ts"
import { freePort } from "../../src/embedded/processes.ts"
import type { createPlaces } from "../embedded/places.ts"
import { eventually } from "../support/eventually.ts"

const DEBIAN = "/usr/lib/postgresql"

/** The programs of a Postgres that the system has, such as Debian's; null where it has none. */
export function findOwnPostgres(): string | null {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN) : []
  const bins = versions.map((version) => join(DEBIAN, version, "bin"))
  return (
    bins.find((bin) =>
      ["initdb", "postgres", "pg_dump"].every((name) => existsSync(join(bin, name))),
    ) ?? null
  )
}

/** That Postgres on loopback, empty, with the superuser `test`. Answers the URL up to the database's name. */
export async function startOwnPostgres(
  places: ReturnType<typeof createPlaces>,
  bin: string,
): Promise<string> {
  const dir = join("/tmp", `fengate-own-${process.pid}-${Date.now()}`)
  mkdirSync(dir)
  const owner = ownerFor(join(dir, "data"))
  if (owner !== null) chownSync(dir, owner.uid, owner.gid)
  const as =
    owner === null
      ? []
      : ["setpriv", `--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups"]
  const data = join(dir, "data")
  const made = Bun.spawnSync([
    ...as,
    join(bin, "initdb"),
    "-D",
    data,
    "-U",
    "test",
    "-A",
    "trust",
    "-E",
    "UTF8",
  ])
  if (made.exitCode !== 0) throw new Error(made.stderr.toString())
  const port = await freePort()
  const settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
  const child = places.add(
    Bun.spawn([...as, join(bin, "postgres"), "-D", data, "-p", String(port), ...settings], {
      stdout: "ignore",
      stderr: "ignore",
    }),
  )
  void child.exited.then(() => Bun.spawnSync(["rm", "-rf", dir]))
  const run = (...words: string[]) =>
    Bun.spawnSync([
      join(bin, "psql"),
      "-h",
      "127.0.0.1",
      "-p",
      String(port),
      "-U",
      "test",
      ...words,
    ])
  await eventually(() => run("-c", "select 1", "postgres").exitCode === 0)
  return `postgres://test@127.0.0.1:${port}/`
}
