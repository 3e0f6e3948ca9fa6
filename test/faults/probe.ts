import type { Sample } from "./load.ts"

/** Asks each gateway again and again whether it is ready. */
export type Probe = { looks: Look[]; stop(): Promise<void> }
/** `says`: 200, another status, or nothing in time. */
export type Look = { gateway: number; at: number; says: "ready" | "not ready" | "nothing" }

const EVERY_MS = 60
const TIMEOUT_MS = 1_500

export function startProbe(ports: readonly number[]): Probe {
  const looks: Look[] = []
  let isGoing = true
  const asking = Promise.all(ports.map(ask))
  return {
    looks,
    async stop() {
      isGoing = false
      await asking
    },
  }

  async function ask(port: number, gateway: number): Promise<void> {
    const url = `http://127.0.0.1:${port}/readyz`
    while (isGoing) {
      const signal = AbortSignal.timeout(TIMEOUT_MS)
      const answer = await fetch(url, { signal, keepalive: false }).catch(() => null)
      await answer?.text().catch(() => "")
      const says = answer === null ? "nothing" : answer.status === 200 ? "ready" : "not ready"
      looks.push({ gateway, at: performance.now(), says })
      await Bun.sleep(EVERY_MS)
    }
  }
}

/** Long enough for one look, and for what is in flight. A call that began the second is looked for so far before it. */
const TRUTH_MS = 1_000
const EDGE_MS = 250
const CALLS_MIN = 5

/**
 * How often a gateway said of itself what was not so: that it is ready, after a second in which it charged
 * nobody; or that it is not, after a second in which it charged everybody.
 */
export function untruths(looks: readonly Look[], samples: readonly Sample[]): number {
  const decided = samples.filter(({ outcome }) => outcome === "paid" || outcome === "unavailable")
  return looks.filter(({ gateway, at, says }) => {
    if (says === "nothing") return false
    const before = decided.filter(
      (sample) =>
        sample.gateway === gateway &&
        sample.sentAt > at - TRUTH_MS - EDGE_MS &&
        sample.answeredAt < at,
    )
    const opposite = says === "ready" ? "unavailable" : "paid"
    const spansIt = before.some((sample) => sample.sentAt < at - TRUTH_MS)
    return (
      spansIt && before.length >= CALLS_MIN && before.every(({ outcome }) => outcome === opposite)
    )
  }).length
}
