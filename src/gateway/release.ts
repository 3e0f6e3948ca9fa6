import type { Ledger } from "../ledger/ledger.ts"
import { VOID_ATTEMPTS_MAX, VOID_RETRY_MS } from "../limits.ts"
import type { SparingLog } from "./sparing-log.ts"

/**
 * Voids the holds of calls that cost nothing. Where the ledger is away it is tried again behind the
 * caller's back; a hold that cannot be voided at all ends by itself.
 */
export function createRelease({
  ledger,
  tell,
}: {
  ledger: Pick<Ledger, "voidHold">
  tell: SparingLog
}) {
  const later = new Set<Promise<void>>()
  const stopping = Promise.withResolvers<void>()
  return { release, releaseLater, stop }

  /** Resolves when the hold is void, or will be tried again. */
  async function release(holdId: string): Promise<void> {
    if (!(await isOver(holdId))) releaseLater(holdId)
  }

  /** Where the ledger is away already, nobody waits for it once more. */
  function releaseLater(holdId: string): void {
    const retried = retry(holdId).finally(() => later.delete(retried))
    later.add(retried)
  }

  /** Whatever resolved it before: nothing is held any more. */
  async function isOver(holdId: string): Promise<boolean> {
    return (await ledger.voidHold({ holdId, idempotency: null })).status !== "unavailable"
  }

  async function retry(holdId: string): Promise<void> {
    for (let attempt = 1; attempt < VOID_ATTEMPTS_MAX; attempt++) {
      await Promise.race([Bun.sleep(VOID_RETRY_MS * attempt), stopping.promise])
      if (await isOver(holdId)) return
    }
    tell("a hold could not be voided", "it ends by itself")
  }

  /** What is still to be voided is voided now, if that can be. */
  async function stop(): Promise<void> {
    stopping.resolve()
    await Promise.all(later)
  }
}
