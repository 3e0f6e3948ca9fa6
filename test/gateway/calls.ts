import { afterAll, afterEach, beforeAll, expect } from "bun:test"
import { readConfig } from "../../src/config.ts"
import { startGateway } from "../../src/gateway/process.ts"
import { randomChars } from "../../src/ids.ts"
import { type Developer, newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import {
  type Answer,
  createRequest,
  type System,
  type SystemOptions,
  startSystem,
} from "../support/system.ts"

/** What tests of calls have in common. */

export type Caller = { request: System["request"] }

/** One more API key of this developer, within these limits. */
export async function keyWith(
  { request }: Caller,
  { token }: { token: string },
  limits: Record<string, unknown>,
): Promise<{ id: string; key: string }> {
  const made = await request("POST", "/v1/keys", { token, body: { name: "limited", limits } })
  expect([made.status, made.body.detail]).toEqual([201, undefined])
  return made.body
}

/** A developer whose key has these limits. */
export async function limitedDeveloper(
  system: System,
  { balanceFen = 1_000, ...limits }: Record<string, unknown> & { balanceFen?: number },
): Promise<Developer & { limitedKey: string; limitedKeyId: string }> {
  const developer = await newDeveloper(system, { balanceFen })
  const { id, key } = await keyWith(system, developer, limits)
  return { ...developer, limitedKey: key, limitedKeyId: id }
}

const SERVICE_KEYS = "/v1/admin/service-keys"

export async function newServiceKey(system: System): Promise<{ id: string; key: string }> {
  const token = await system.adminToken()
  const made = await system.request("POST", SERVICE_KEYS, { token, body: { name: "backend" } })
  expect(made.status).toBe(201)
  return made.body
}

export async function disableServiceKey(system: System, { id }: { id: string }): Promise<void> {
  const token = await system.adminToken()
  const path = `${SERVICE_KEYS}/${id}`
  const patched = await system.request("PATCH", path, { token, body: { enabled: false } })
  expect(patched.status).toBe(200)
}

/**
 * A system, and another gateway on its stores, for the tests of a file; after each of them the books
 * of all accounts are recomputed.
 */
export function useTwoGateways(options: SystemOptions = {}): {
  system: () => System
  another: () => Caller
} {
  let first: System | null = null
  let second: (Caller & { stop(): Promise<void> }) | null = null
  beforeAll(async () => {
    first = await startSystem(options)
    second = await startAnother(first)
  }, 30_000)
  afterEach(async () => {
    await started(first).booksBalance()
  })
  afterAll(async () => {
    await second?.stop()
    await first?.stop()
  })
  return { system: () => started(first), another: () => started(second) }
}

function started<Part>(part: Part | null): Part {
  if (part === null) throw new Error("the gateways are there only while tests run")
  return part
}

async function startAnother({ stores }: System) {
  const config = { ...readConfig({}), port: 0, dataDir: stores.dataDir }
  const gateway = await startGateway(config, stores, { log: () => undefined })
  return { request: createRequest(gateway.url), stop: gateway.stop }
}

/**
 * As a client sends who comes again when he is told 503, for the whole or for an item: on a machine
 * that stalls for longer than a batch may take, some are put back.
 */
export function untilDecided(send: () => Promise<Answer>): Promise<Answer> {
  return eventually(async () => {
    const answer = await send()
    const results: { status?: number }[] = answer.body?.results ?? [answer]
    expect(results.some(({ status }) => status === 503)).toBe(false)
    return answer
  })
}

export function newIdempotencyKey(): string {
  return `key-${randomChars(12)}`
}

/** A POST with an Idempotency-Key. */
export function postKeyed(
  { request }: Caller,
  path: string,
  { key, token, body }: { key: string; token: string; body?: unknown },
): Promise<Answer> {
  return request("POST", path, { token, body, headers: { "idempotency-key": key } })
}

export async function expectRefused(
  answer: Answer | Promise<Answer>,
  status: number,
  code: string,
): Promise<Answer> {
  const { body, headers, ...rest } = await answer
  expect({ status: rest.status, code: body.code }).toEqual({ status, code })
  expect(headers.get("content-type")).toStartWith("application/problem+json")
  expect(body.requestId).toBe(headers.get("x-request-id"))
  return { body, headers, ...rest }
}
