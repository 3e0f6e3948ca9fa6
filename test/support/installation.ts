import { readFileSync } from "node:fs"
import { join } from "node:path"
import { commandOf, freePort } from "../../src/embedded/processes.ts"
import type { createPlaces } from "../embedded/places.ts"
import { runProgram } from "./program.ts"
import { createRequest, register, type System } from "./system.ts"

const ADMIN = { ADMIN_EMAIL: "admin@example.com", ADMIN_PASSWORD: "a password for tests" }

/** The whole program with several gateways on one port, on embedded stores of its own. */
export type Installation = {
  port: number
  url: string
  env: Record<string, string>
  program: ReturnType<typeof runProgram>
  client: Pick<System, "request" | "register" | "adminToken">
  /** Where its stores listen now: at another port after each start. */
  stores(): { redisUrl: string; databaseUrl: string }
  /** The gateways' processes, the oldest first. */
  gateways(): number[]
  stop(): Promise<{ code: number; output: string }>
}

export async function startInstallation(
  places: ReturnType<typeof createPlaces>,
  { gateways }: { gateways: number },
): Promise<Installation> {
  const dataDir = join(places.make(), "data")
  const port = await freePort()
  const env = { ...ADMIN, DATA_DIR: dataDir, PORT: String(port), GATEWAYS: String(gateways) }
  const program = runProgram(places, env)
  await program.isUp()
  const url = `http://127.0.0.1:${port}`
  return {
    ...{ port, url, env, program, client: clientOf(url) },
    gateways: () => gatewaysOf(program.child.pid),
    stores() {
      const { redis, postgres } = JSON.parse(readFileSync(join(dataDir, "stores.json"), "utf8"))
      return { redisUrl: redis.url, databaseUrl: postgres.url }
    },
    stop() {
      program.child.kill("SIGTERM")
      return program.ended()
    },
  }
}

function clientOf(url: string): Installation["client"] {
  const request = createRequest(url)
  return {
    request,
    register: () => register(request),
    adminToken: async (): Promise<string> => {
      const body = { email: ADMIN.ADMIN_EMAIL, password: ADMIN.ADMIN_PASSWORD }
      return (await request("POST", "/v1/sessions", { body })).body.accessToken
    },
  }
}

function gatewaysOf(pid: number): number[] {
  const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
  const children = listed.split(" ").map(Number)
  return children.filter((child) => commandOf(child)?.includes("main.ts gateway"))
}
