import { AssertionError } from "node:assert"

/**
 * Waits until `look` neither throws nor answers false, and answers what it answers then. Past the
 * deadline it throws what `look` threw last. The only way in which a test may wait.
 */
export async function eventually<Seen>(
  look: () => Seen | Promise<Seen>,
  { timeoutMs = 10_000 }: { timeoutMs?: number } = {},
): Promise<Seen> {
  const deadlineAt = performance.now() + timeoutMs
  for (;;) {
    const isLast = performance.now() >= deadlineAt
    try {
      const seen = await look()
      if (seen !== false) return seen
    } catch (error) {
      if (isLast) throw error
    }
    if (isLast) {
      throw new AssertionError({ message: `not so within ${timeoutMs} ms: ${String(look)}` })
    }
    await Bun.sleep(5)
  }
}
