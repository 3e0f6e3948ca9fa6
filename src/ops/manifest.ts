import { renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Static, Type } from "@sinclair/typebox"
import { Value } from "@sinclair/typebox/value"
import { readIfThere } from "../embedded/processes.ts"
import { Refused } from "./command.ts"

/** What a backup says of itself. It is written last: without it there is no backup. */
export const Manifest = Type.Object({
  madeAt: Type.String(),
  postgresVersion: Type.String(),
  redisVersion: Type.String(),
  partitions: Type.Integer(),
  /** Where Postgres stood when its copy was begun; the copy has this and what came by its end. */
  watermarks: Type.Array(
    Type.Object({
      partition: Type.Integer(),
      generation: Type.Integer(),
      entryNumber: Type.Integer(),
      records: Type.Integer(),
    }),
  ),
  /** Directories that must be there though they are empty. */
  directories: Type.Array(Type.String()),
  files: Type.Array(
    Type.Object({ path: Type.String(), bytes: Type.Integer(), sha256: Type.String() }),
  ),
})
export type Manifest = Static<typeof Manifest>

const NAME = "backup.json"

export function writeManifest(dir: string, manifest: Manifest): void {
  const path = join(dir, NAME)
  const text = `${JSON.stringify(manifest, null, 2)}\n`
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true })
  renameSync(`${path}.new`, path)
}

/** Throws `Refused` where there is no complete backup. */
export function readManifest(dir: string): Manifest {
  const text = readIfThere(join(dir, NAME))
  if (text === null) throw new Refused(`${dir} holds no complete backup: it has no ${NAME}.`)
  const manifest: unknown = parse(text)
  if (!Value.Check(Manifest, manifest)) throw new Refused(`${join(dir, NAME)} cannot be read.`)
  return manifest
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}
