import { expect } from "bun:test"
import { connectDatabase } from "../../db/connection.ts"
import { type AccountId, chargeId } from "../../src/ids.ts"
import {
  createReversals,
  type ReversalDeps,
  type ReverseOutcome,
} from "../../src/reversals/service.ts"
import type { TestLedger } from "../support/ledger.ts"
import type { Stores } from "../support/stores.ts"
import type { Answer, System } from "../support/system.ts"

/** What the tests of reversals ask again and again. */

type Service = { id: string; key: string }
type Sent = { key?: string | undefined; body?: unknown; headers?: Record<string, string> }

export function reversalsOf(system: () => Pick<System, "request" | "adminToken">) {
  return { makeService, admin, reverse }

  async function admin(method: string, path: string, body?: unknown): Promise<Answer> {
    return await system().request(method, path, { token: await system().adminToken(), body })
  }

  async function makeService(): Promise<Service> {
    const made = await admin("POST", "/v1/admin/service-keys", { name: "backend" })
    expect(made.status).toBe(201)
    return made.body
  }

  function reverse(chargeId: string, { key, ...rest }: Sent): Promise<Answer> {
    return system().request("POST", `/v1/charges/${chargeId}/reversal`, { token: key, ...rest })
  }
}

/** An account of 1.00 CNY, and a charge of 0.30 of it. */
export async function chargeOnce(
  t: TestLedger,
): Promise<{ accountId: AccountId; chargeId: string }> {
  const accountId = await t.openAccount({ balanceFen: 100 })
  const outcome = await t.pay(accountId, 30)
  if (outcome.status !== "accepted") throw new Error(outcome.status)
  const { seq, atMs } = outcome
  return { accountId, chargeId: chargeId({ accountId, seq, at: new Date(atMs) }) }
}

/** The feature itself on a ledger without HTTP, with a service key of its own. */
export async function withReversals(
  { ledger, stores }: { ledger: ReversalDeps["ledger"]; stores: Stores },
  run: (reverse: (chargeId: string) => Promise<ReverseOutcome>) => Promise<void>,
): Promise<void> {
  const { sql, databaseUrl } = stores
  const serviceKeyId = "svc_0000000000000000"
  await sql`insert into service_keys (id, name, key_hash) values (${serviceKeyId}, 'test', 'none')
    on conflict do nothing`
  const database = connectDatabase(databaseUrl, { max: 1, applicationName: "test" })
  const reversals = createReversals({ sql, db: database.db, ledger })
  await run((chargeId) => reversals.reverse({ chargeId, serviceKeyId, idempotencyKey: null }))
  await database.sql.end({ timeout: 1 })
}
