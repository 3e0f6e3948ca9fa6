import { AssertionError } from "node:assert"

/** What a promise is rejected with, as text; a promise that is fulfilled fails the test. */
export async function failureOf(work: PromiseLike<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  throw new AssertionError({ message: "it did not fail" })
}
