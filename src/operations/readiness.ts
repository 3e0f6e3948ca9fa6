import type { Sql } from "../../db/connection.ts"
import { inTime } from "../deadline.ts"
import type { Health, Ledger } from "../ledger/ledger.ts"
import { READINESS_TIMEOUT_MS } from "../limits.ts"

const timeoutMs = READINESS_TIMEOUT_MS

export type Readiness = Health & { postgres: "reachable" | "unreachable" }

/**
 * Whether a charge would be decided now, within `READINESS_TIMEOUT_MS` whatever hangs. Postgres is
 * told but does not count: charges of known keys go on without it, until the lag is too long.
 */
export function createReadiness({ sql, ledger }: { sql: Sql; ledger: Pick<Ledger, "health"> }) {
  /** One look at a time: asking often must not pile up questions that hang. */
  let postgres: Promise<Readiness["postgres"]> | null = null

  function askPostgres(): Promise<Readiness["postgres"]> {
    postgres ??= sql`select 1`
      .then(
        () => "reachable" as const,
        () => "unreachable" as const,
      )
      .finally(() => {
        postgres = null
      })
    return postgres
  }

  return {
    ledger: () => inTime(ledger.health(), { timeoutMs, late: silent }),
    async all(): Promise<Readiness> {
      const [health, store] = await Promise.all([
        inTime(ledger.health(), { timeoutMs, late: silent }),
        inTime(askPostgres(), { timeoutMs, late: "unreachable" as const }),
      ])
      return { ...health, postgres: store }
    },
  }
}

const silent: Health = {
  status: "unavailable",
  isPartial: false,
  reasons: [`The ledger did not answer within ${READINESS_TIMEOUT_MS} ms.`],
}
