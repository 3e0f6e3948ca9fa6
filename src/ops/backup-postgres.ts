import { writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import type { Sql } from "../../db/connection.ts"
import { createBackupSlot, startBackup, stopBackup } from "../../db/queries/take-backup.ts"
import { type CopiedFile, copyFile, listFiles, makeDirectory } from "./copying.ts"

/** What a base backup leaves out: of this run of the server, or made anew by the next. */
const CONTENT_LEFT_OUT = [
  ...["pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots"],
  ...["pg_stat_tmp", "pg_subtrans"],
]
const FILES_LEFT_OUT = /^(postmaster\.(pid|opts)|pg_internal\.init.*|pgsql_tmp.*|backup_label.*)$/

/**
 * A base backup of a running Postgres, as its documentation describes the low-level way (no program of
 * the server's package makes one): files are copied between `pg_backup_start` and `pg_backup_stop`, and
 * then the log between the two, which makes them whole. `connection`: one, on which all of it happens.
 */
export async function backUpPostgres(
  connection: Sql,
  { from, to }: { from: string; to: string },
): Promise<CopiedFile[]> {
  // Keeps the log that is needed: no checkpoint recycles it meanwhile.
  await createBackupSlot(connection, `fengate_backup_${process.pid}`)
  await startBackup(connection)
  const { files, dirs } = await listFiles(from)
  for (const dir of dirs) if (!isBelow(dir)) await makeDirectory(join(to, dir))
  const copied: CopiedFile[] = []
  for (const path of files) {
    if (isBelow(path) || FILES_LEFT_OUT.test(basename(path))) continue
    const copy = await copyFile(join(from, path), join(to, path))
    if (copy !== null) copied.push({ path, ...copy })
  }
  const { label, tablespaces, firstSegment, lastSegment } = await stopBackup(connection)
  copied.push(await write(to, "backup_label", label))
  if (tablespaces !== "") copied.push(await write(to, "tablespace_map", tablespaces))
  await makeDirectory(join(to, "pg_wal", "archive_status"))
  for (const path of (await listFiles(join(from, "pg_wal"))).files) {
    if (!/^[0-9A-F]{24}$/.test(path) || path < firstSegment || path > lastSegment) continue
    const [source, target] = [join(from, "pg_wal", path), join(to, "pg_wal", path)]
    const copy = await copyFile(source, target)
    if (copy !== null) copied.push({ path: join("pg_wal", path), ...copy })
  }
  return copied
}

function isBelow(path: string): boolean {
  return CONTENT_LEFT_OUT.some((name) => path.startsWith(`${name}/`))
}

async function write(dir: string, path: string, text: string): Promise<CopiedFile> {
  writeFileSync(join(dir, path), text, { mode: 0o600, flush: true })
  const sha256 = new Bun.CryptoHasher("sha256").update(text).digest("hex")
  return { path, bytes: Buffer.byteLength(text), sha256 }
}
