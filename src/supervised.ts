import { inTime } from "./deadline.ts"
import type { Figures } from "./figures.ts"
import type { LeaveReason } from "./gateway/drain.ts"
import { FIGURES_TIMEOUT_MS, GATHER_TIMEOUT_MS, REPLACEMENT_MS_MAX } from "./limits.ts"
import { type FromRole, readMessage, ToRole } from "./messages.ts"
import type { Gathered } from "./metrics.ts"

/** A role's process, as it talks with the supervisor that started it. */
export type Supervised = {
  ready(): void
  /** Says that it was asked to stop; resolves when it may leave: with nobody waiting, at once. */
  leave(): Promise<LeaveReason>
  /** The figures of all gateways; null where the supervisor did not answer in time. */
  gather(): Promise<Gathered | null>
  /** From now on it answers what it counted. */
  answerWith(figures: () => Promise<Figures>): void
  /** What it counted, once and for all. */
  tellLast(figures: Figures): Promise<void>
}

/** Null where the role was started by hand. */
export function connectSupervisor(): Supervised | null {
  if (process.send === undefined) return null
  const mayLeave = Promise.withResolvers<LeaveReason>()
  const gathering = new Map<number, (gathered: Gathered) => void>()
  let figures: (() => Promise<Figures>) | null = null
  let questions = 0
  process.on("disconnect", () => mayLeave.resolve("stopping"))
  process.on("message", (message) => void hear(readMessage(ToRole, message)))

  return {
    ready: () => void tell({ type: "ready" }),
    async leave() {
      void tell({ type: "leaving" })
      return await inTime(mayLeave.promise, {
        timeoutMs: REPLACEMENT_MS_MAX,
        late: "stopping" as const,
      })
    },
    async gather() {
      const question = ++questions
      const { promise, resolve } = Promise.withResolvers<Gathered>()
      gathering.set(question, resolve)
      void tell({ type: "gather", question })
      const gathered = await inTime(promise, { timeoutMs: GATHER_TIMEOUT_MS, late: null })
      gathering.delete(question)
      return gathered
    },
    answerWith(read) {
      figures = read
    },
    async tellLast(last) {
      const told = tell({ type: "figures", question: null, figures: last })
      await inTime(told, { timeoutMs: FIGURES_TIMEOUT_MS, late: undefined })
    },
  }

  async function hear(message: ToRole): Promise<void> {
    switch (message.type) {
      case "leave":
        return mayLeave.resolve(message.reason)
      case "tell_figures": {
        const answer = (await figures?.()) ?? []
        return await tell({ type: "figures", question: message.question, figures: answer })
      }
      case "gathered":
        return gathering.get(message.question)?.(message)
    }
  }
}

/** Resolves when the message is on its way, or there is nobody any more who could hear it. */
function tell(message: FromRole): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => resolve())
    else resolve()
  })
}
