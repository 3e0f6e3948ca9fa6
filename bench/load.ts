import autocannon from "autocannon"
import type { AccountId } from "../src/ids.ts"
import type { Percentiles } from "./generator/histogram.ts"
import type { Account } from "./seed.ts"

/** What the generator has seen of one load: every answer, and nothing that was not answered. */
export type Load = {
  calls: number
  callsPerSecond: number
  /** As autocannon gives it, in whole milliseconds. */
  latencyMs: Percentiles
  statuses: ReadonlyMap<number, number>
  accepted: ReadonlyMap<AccountId, number>
  /** Connections that broke and calls that timed out. Their outcome is not known here. */
  lost: number
}

/** Bumped while the load runs, for the line on the terminal. */
export type Progress = { calls: number; refused: number; lost: number }

export type LoadOptions = {
  /** Connections are spread over them in turn. */
  urls: readonly string[]
  path: string
  /** GET has no body; a POST is a charge. */
  method?: "GET" | "POST"
  accounts: readonly Account[]
  connections: number
  /** Either a time, after which nothing new is sent, or a number of calls for each connection. */
  until: { seconds: number } | { callsEach: number }
  progress: Progress
}

/** What every charge of the benchmark asks for. */
export const CHARGE_BODY = JSON.stringify({ interface: "user.login" })
/** autocannon's own limits, which are never reached: this file ends a load by itself. */
const SECONDS_MAX = 86_400
/** autocannon looks this often whether all connections have ended. */
const SAMPLE_MS = 20

/**
 * Runs one load and waits for its last answer. autocannon cuts the calls that are under way when
 * its time is over, and the server may have taken those; so its time is never over, and each
 * connection is told to end after its next answer.
 */
export async function runLoad(options: LoadOptions): Promise<Load> {
  const { urls, path, method = "POST", accounts, connections, until, progress } = options
  const clients: autocannon.Client[] = []
  const statuses = new Map<number, number>()
  const accepted = new Map<AccountId, number>()
  let calls = 0
  let startedAt = 0
  let timed = { calls: 0, ms: 0 }

  const settings = {
    url: "",
    method,
    connections,
    duration: SECONDS_MAX,
    sampleInt: SAMPLE_MS,
    ...("callsEach" in until ? { maxConnectionRequests: until.callsEach } : {}),
    setupClient: (client: autocannon.Client) => {
      const share = sharesOf(accounts, { connections, place: clients.length })
      clients.push(client)
      prepare(client, share)
    },
  }
  // It takes several addresses, one for each connection in turn; its types know of one.
  const several = Object.assign(settings, { url: urls.map((url) => url + path) })
  const finished = Promise.withResolvers<autocannon.Result>()
  const instance = autocannon(several, (error, result) =>
    error ? finished.reject(error) : finished.resolve(result),
  )
  void instance.on("reqError", () => progress.lost++)
  void instance.on("start", () => {
    startedAt = performance.now()
    if ("seconds" in until) setTimeout(drain, until.seconds * 1_000)
  })
  const { latency, errors } = await finished.promise
  if (timed.ms === 0) timed = { calls, ms: performance.now() - startedAt }
  return {
    calls,
    callsPerSecond: (timed.calls * 1_000) / timed.ms,
    latencyMs: { p50: latency.p50, p90: latency.p90, p99: latency.p99, p999: latency.p99_9 },
    statuses,
    accepted,
    lost: errors,
  }

  /** A connection has one call under way, so that its n-th answer is that to its n-th request. */
  function prepare(client: autocannon.Client, share: readonly Account[]): void {
    let answers = 0
    client.setRequests(share.map((account) => requestOf(account, method)))
    client.on("response", (status) => {
      const account = share[answers++ % share.length]
      calls++
      progress.calls++
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (status !== 200) progress.refused++
      else if (account) accepted.set(account.id, (accepted.get(account.id) ?? 0) + 1)
    })
  }

  function drain(): void {
    timed = { calls, ms: performance.now() - startedAt }
    // The field that autocannon compares its requests with; the audit notices if it ever moves.
    for (const client of clients) Object.assign(client, { responseMax: 1 })
  }
}

/** Each connection has accounts of its own; where there are fewer accounts, they share. */
function sharesOf(
  accounts: readonly Account[],
  { connections, place }: { connections: number; place: number },
): readonly Account[] {
  if (accounts.length < connections) return accounts
  return accounts.filter((_, i) => i % connections === place)
}

function requestOf({ key }: Account, method: "GET" | "POST"): autocannon.Request {
  const authorization = `Bearer ${key}`
  if (method === "GET") return { method, headers: { authorization } }
  return {
    method,
    headers: { authorization, "content-type": "application/json" },
    body: CHARGE_BODY,
  }
}
