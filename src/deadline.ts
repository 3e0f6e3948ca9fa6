/** Something did not answer in time. What it did, or will still do, is not known. */
export class DeadlinePassed extends Error {}

/**
 * What `work` answers, if it does within `timeoutMs`; else rejects with `DeadlinePassed`. The work
 * itself goes on: whoever sets a deadline must be able to do it again.
 */
export async function within<Value>(
  work: Promise<Value>,
  { timeoutMs, what }: { timeoutMs: number; what: string },
): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const deadline = new Promise<never>((_resolve, reject) => {
    const error = new DeadlinePassed(`${what} did not answer within ${timeoutMs} ms`)
    // A stalled event loop must read the answer that is already there before it gives it up.
    timer = setTimeout(() => setImmediate(() => reject(error)), timeoutMs)
  })
  try {
    return await Promise.race([work, deadline])
  } finally {
    clearTimeout(timer)
  }
}

/** What is asked, or what stands for no answer in time. */
export async function inTime<Answer, Late>(
  asked: Promise<Answer>,
  { timeoutMs, late }: { timeoutMs: number; late: Late },
): Promise<Answer | Late> {
  try {
    return await within(asked, { timeoutMs, what: "what was asked" })
  } catch (error) {
    if (error instanceof DeadlinePassed) return late
    throw error
  }
}
