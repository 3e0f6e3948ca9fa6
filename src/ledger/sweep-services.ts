import type { Sql } from "../../db/connection.ts"
import { readServicesVersion } from "../../db/queries/read-services-version.ts"

/**
 * Tells Redis the version of the service keys that Postgres has; false where it did not take it
 * everywhere. Whoever disables a service key asks for it, and so does the background process again
 * and again, for what a crash left: a version that is not higher changes nothing.
 */
export async function sweepServices(
  sql: Sql,
  raiseServices: (version: number) => Promise<boolean>,
): Promise<boolean> {
  return raiseServices(await readServicesVersion(sql))
}
