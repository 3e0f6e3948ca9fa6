import { inTime } from "./deadline.ts"
import { type Figures, lasting, sumOf } from "./figures.ts"
import { FIGURES_TIMEOUT_MS } from "./limits.ts"
import type { Gathered } from "./metrics.ts"

/** A gateway's process, as far as its figures go. */
export type Counting = {
  /** Takes the figures that the process sent: as an answer, or (null) as its last. */
  heard(question: number | null, figures: Figures): void
  /** It has ended: what it counted stays counted. */
  ended(): void
}

export type Gathering = ReturnType<typeof createGathering>

/**
 * Sums what the gateways of one supervisor counted. Prometheus takes a counter that falls for a
 * restart, and a sum that does so now and then for a huge rate; so the last known figures of a process stand
 * for it when it does not answer in time, and stay in the sum when it has ended.
 */
export function createGathering() {
  type Member = { ask(question: number): void; last: Figures; waiting: Map<number, () => void> }
  const members = new Set<Member>()
  let past: Figures = []
  let questions = 0

  return {
    join(ask: Member["ask"]): Counting {
      const member: Member = { ask, last: [], waiting: new Map() }
      members.add(member)
      return {
        heard(question, figures) {
          member.last = figures
          if (question !== null) member.waiting.get(question)?.()
        },
        ended() {
          if (!members.delete(member)) return
          past = sumOf([past, lasting(member.last)])
          for (const answered of member.waiting.values()) answered()
        },
      }
    },

    async gather(): Promise<Gathered> {
      const asked = [...members]
      const answers = await Promise.all(asked.map(hasAnswered))
      const figures = sumOf([past, ...[...members].map(({ last }) => last)])
      const silent = answers.filter((isHeard) => !isHeard).length
      return { figures, gateways: asked.length, silent }
    },
  }

  async function hasAnswered(member: Member): Promise<boolean> {
    const question = ++questions
    const { promise, resolve } = Promise.withResolvers<true>()
    member.waiting.set(question, () => resolve(true))
    member.ask(question)
    const isHeard = await inTime(promise, { timeoutMs: FIGURES_TIMEOUT_MS, late: false })
    member.waiting.delete(question)
    return isHeard
  }
}
