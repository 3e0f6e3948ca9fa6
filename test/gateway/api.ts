import { afterAll, beforeAll, expect } from "bun:test"
import { type Developer, newDeveloper } from "../support/developer.ts"
import { type System, type SystemOptions, useSystem } from "../support/system.ts"
import { startUpstream, type Upstream } from "../support/upstream.ts"

/** A gateway in front of an upstream of the test's own. */
export type ApiTest = {
  system(): System
  upstream(): Upstream
  /** An interface for a path of the upstream, and what it is named. */
  offer(path: string, fields?: Record<string, unknown>): Promise<string>
  developer(balanceFen?: number): Promise<Developer>
  /** What fetch gives, redirects and encodings as they are. */
  call(developer: { key: string }, path: string, init?: RequestInit): Promise<Response>
  balanceOf(developer: Developer): Promise<{ balanceFen: number; heldFen: number; seq: number }>
}

let offers = 0

/** The problem that is answered: nothing is paid, and no cost is named. */
export async function problemOf(answer: Response): Promise<ReturnType<typeof JSON.parse>> {
  expect(answer.headers.get("content-type")).toBe("application/problem+json")
  expect(answer.headers.get("x-charge-fen")).toBeNull()
  return JSON.parse(await answer.text())
}

export function useApi(options: SystemOptions = {}): ApiTest {
  const system = useSystem(options)
  let started: Upstream | null = null
  const upstream = (): Upstream => {
    if (started === null) throw new Error("the upstream is there only while tests run")
    return started
  }
  beforeAll(async () => {
    started = await startUpstream()
  })
  afterAll(async () => {
    await started?.stop()
  })
  return { system, upstream, offer, developer, call, balanceOf }

  async function offer(path: string, fields: Record<string, unknown> = {}): Promise<string> {
    const id = `test.${++offers}`
    const made = await system().request("POST", "/v1/admin/interfaces", {
      token: await system().adminToken(),
      body: {
        ...{ id, name: "A test", method: "ANY", path: `/api${path}`, priceFen: 1 },
        upstreamUrl: upstream().url,
        ...fields,
      },
    })
    expect([made.status, made.body.detail]).toEqual([201, undefined])
    return made.body.id
  }

  function developer(balanceFen = 100): Promise<Developer> {
    return newDeveloper(system(), { balanceFen })
  }

  function call({ key }: { key: string }, path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    headers.set("authorization", `Bearer ${key}`)
    const asIs = { redirect: "manual", decompress: false } as const
    return fetch(`${system().url}/api${path}`, { ...asIs, ...init, headers })
  }

  async function balanceOf(owner: Developer) {
    const { balanceFen, heldFen, seq } = (await owner.balance()).body
    return { balanceFen, heldFen, seq }
  }
}
