import http from "node:http"

export type Called = { status: number; body: string; headers: http.IncomingHttpHeaders }

/**
 * Callers that send one request after the other, as clients do that never retry: some keep their
 * connection while the server lets them, some open a new one for each call.
 */
export type Callers = {
  answered(status: number): number
  /** What went wrong otherwise than by an answer: codes such as ECONNRESET, with how often. */
  failures(): Record<string, number>
  /** Resolves when the calls in flight have ended. */
  stop(): Promise<void>
}

type Options = {
  port: number
  /** One caller for each of these headers. */
  keys: readonly string[]
  isKeepAlive: boolean
  body: unknown
}

export function startCallers({ port, keys, isKeepAlive, body }: Options): Callers {
  const counts = new Map<number, number>()
  const failures = new Map<string, number>()
  let isGoing = true

  async function callOn(key: string): Promise<void> {
    const agent = new http.Agent({ keepAlive: isKeepAlive, maxSockets: 1 })
    while (isGoing) {
      try {
        const { status } = await call({ port, path: "/v1/charges", agent, key, body })
        counts.set(status, (counts.get(status) ?? 0) + 1)
      } catch (error) {
        const code = error instanceof Error && "code" in error ? String(error.code) : String(error)
        failures.set(code, (failures.get(code) ?? 0) + 1)
        // Nobody listens any more: no call was made, and none will be.
        if (code === "ECONNREFUSED") return
      }
    }
    agent.destroy()
  }

  const running = Promise.all(keys.map(callOn))
  return {
    answered: (status) => counts.get(status) ?? 0,
    failures: () => Object.fromEntries(failures),
    async stop() {
      isGoing = false
      await running
    },
  }
}

export type Call = {
  port: number
  path: string
  agent: http.Agent
  key?: string
  body?: unknown
}

/** One call, a POST where it has a body. Rejects where there is no whole answer. */
export function call({ port, path, agent, key, body }: Call): Promise<Called> {
  const text = body === undefined ? "" : JSON.stringify(body)
  const headers = {
    ...(key !== undefined && { "x-api-key": key }),
    ...(text !== "" && { "content-type": "application/json" }),
    "content-length": Buffer.byteLength(text),
  }
  const method = text === "" ? "GET" : "POST"
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path, method, agent, headers }
    const request = http.request(options, (response) => {
      let received = ""
      response.on("data", (bytes) => {
        received += String(bytes)
      })
      response.on("error", reject)
      response.on("end", () => {
        const { statusCode: status = 0, headers: answered } = response
        resolve({ status, body: received, headers: answered })
      })
    })
    request.on("error", reject)
    request.end(text)
  })
}
