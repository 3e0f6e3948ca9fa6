import type { Sql } from "../connection.ts"

/** What whoever changes an interface notifies, in the statement that changes it. */
export const INTERFACES_CHANNEL = "fengate_interfaces"

/**
 * Calls back after every change of an interface, on a connection of its own.
 * Callers may rely on: it is called once more whenever the connection is there (again), because
 * what changed meanwhile was not told. Answers how to end it.
 */
export async function listenInterfaces(
  sql: Sql,
  onChange: () => void,
): Promise<() => Promise<void>> {
  const { unlisten } = await sql.listen(INTERFACES_CHANNEL, onChange, onChange)
  return unlisten
}
