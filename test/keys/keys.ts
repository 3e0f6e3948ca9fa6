import { expect } from "bun:test"
import { parseAccountId } from "../../src/ids.ts"
import type { System } from "../support/system.ts"

/** What the tests of API keys ask again and again. */

export type Holder = { token: string; accountId: string }

export const NO_LIMITS = {
  dailyFen: null,
  daily: null,
  monthlyFen: null,
  monthly: null,
  totalFen: null,
  total: null,
  ratePerSecond: null,
  allowedCidrs: null,
  interfaces: null,
  expiresAt: null,
}

export function keysOf(system: () => Pick<System, "request" | "sql" | "ledger">) {
  return { makeKey, patch, rotate, remove, read, versions, limitsVersion }

  async function makeKey({ token }: Holder, body: object = {}) {
    const made = await system().request("POST", "/v1/keys", {
      token,
      body: { name: "first", ...body },
    })
    expect([made.status, made.body.errors]).toEqual([201, undefined])
    return made.body
  }

  function patch({ token }: Holder, id: string, body: unknown) {
    return system().request("PATCH", `/v1/keys/${id}`, { token, body })
  }

  function rotate({ token }: Holder, id: string, overlapSeconds: unknown) {
    const body = { overlapSeconds }
    return system().request("POST", `/v1/keys/${id}/rotations`, { token, body })
  }

  function remove({ token }: Holder, id: string) {
    return system().request("DELETE", `/v1/keys/${id}`, { token })
  }

  async function read({ token }: Holder, id: string) {
    return (await system().request("GET", `/v1/keys/${id}`, { token })).body
  }

  /** The auth version as Postgres has it, as Redis has it, and how many instructions carried it. */
  async function versions({ accountId }: Holder) {
    const [row] = await system().sql<{ version: number; carried: number }[]>`
      select auth_version as version, (select count(*)::integer from instructions i
        where i.account_id = a.id and kind = 'auth_version') as carried
      from accounts a where id = ${accountId}`
    const outcome = await system().ledger.readAccount(parseAccountId(accountId))
    const redis = outcome.status === "found" ? outcome.account.authVersion : null
    return { postgres: row?.version, redis, instructions: row?.carried }
  }

  async function limitsVersion(id: string): Promise<number | undefined> {
    const [row] = await system().sql<{ version: number }[]>`
      select limits_version as version from api_keys where id = ${id}`
    return row?.version
  }
}
