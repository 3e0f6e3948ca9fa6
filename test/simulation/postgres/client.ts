import { onStage } from "../stage.ts"

/**
 * `connectSql` of `db/connection.ts`. The functions of `db/queries` call `run` of what it answers; the one
 * statement that product code writes by itself takes the lock of whoever opens the ledger.
 */
export function connectSql() {
  let release: (() => void) | null = null
  const part = onStage().scheduler.current()
  const client = async ([text = ""]: readonly string[]): Promise<unknown[]> => {
    if (!text.includes("pg_advisory_lock")) throw new TypeError(`an unknown statement: ${text}`)
    release = await onStage().postgres.lock(part)
    return []
  }
  return Object.assign(client, {
    run: (name: string, args: readonly unknown[]) => onStage().postgres.run(part, name, args),
    async end() {
      release?.()
      release = null
    },
  })
}
