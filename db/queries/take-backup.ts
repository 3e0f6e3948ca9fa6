import type { Sql } from "../connection.ts"

/** Keeps the write-ahead log from now on, until the connection ends. */
export async function createBackupSlot(connection: Sql, name: string): Promise<void> {
  await connection`select pg_create_physical_replication_slot(${name}, true, true)`
}

/** Begins a base backup, which ends with the connection unless it is stopped before. */
export async function startBackup(connection: Sql): Promise<void> {
  await connection`select pg_backup_start('fengate', true)`
}

export type StoppedBackup = {
  /** What `backup_label` and `tablespace_map` must hold, to the byte. */
  label: string
  tablespaces: string
  /** The files of the log between its beginning and its end. */
  firstSegment: string
  lastSegment: string
}

/** Ends a base backup. Callers may rely on: the log up to its end is on the disk. */
export async function stopBackup(connection: Sql): Promise<StoppedBackup> {
  const [row] = await connection<StoppedBackup[]>`
    select s.labelfile as label, coalesce(s.spcmapfile, '') as tablespaces,
      substring(s.labelfile from 'START WAL LOCATION: [^(]*[(]file ([0-9A-F]{24})[)]') as "firstSegment",
      pg_walfile_name(s.lsn) as "lastSegment"
    from pg_backup_stop(false) s
  `
  if (row === undefined) throw new Error("broken invariant: a backup that is stopped has a label")
  return row
}
