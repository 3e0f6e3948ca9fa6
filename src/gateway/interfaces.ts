import { within } from "../deadline.ts"
import { INTERFACES_LOAD_MS, INTERFACES_REFRESH_MS, INTERFACES_RELOAD_MS } from "../limits.ts"
import { type Fen, parseFen } from "../money.ts"
import { messageOf, startTicker } from "../ticker.ts"
import { createRouting, type Routed } from "./routing.ts"

/** A priced operation, as calls need to know it. */
export type Interface = {
  id: string
  priceFen: Fen
  /** Whether an answer of the upstream with this status is charged. */
  isCharged(status: number): boolean
  /** Where calls of /api are forwarded, without a slash at the end; null: nowhere. */
  upstreamUrl: string | null
  /** From the hold to the head of the upstream's answer. */
  timeoutMs: number
  bodyBytesMax: number
}

/** The interfaces as this process knows them: in memory, so that a call never waits for them. */
export type Interfaces = {
  find(interfaceId: string): Interface | null
  /** The price in fen of one call; null where there is no such interface. */
  priceOf(interfaceId: string): Fen | null
  /** The interface of a call, and its path as it is forwarded. */
  match(method: string, path: string): Routed<Interface> | null
  /** Reads the list anew, from now on; never rejects: where Postgres is away, what is known stays. */
  refresh(): Promise<void>
  /** The same, before something unknown is refused: INTERFACES_RELOAD_MS apart, and shared. */
  lookAgain(): Promise<void>
  stop(): Promise<void>
}

export type InterfaceRow = {
  id: string
  method: string
  path: string
  priceFen: string
  chargeOn: string
  upstreamUrl: string | null
  timeoutMs: number
  bodyBytesMax: string
}

export type InterfacesDeps = {
  loadInterfaces(): Promise<readonly InterfaceRow[]>
  /** Calls back whenever the list has changed, or may have; answers how to end that. */
  listen(onChange: () => void): Promise<() => Promise<void>>
  log(message: string): void
}

/** Resolves when the list has been read; rejects where it cannot be. */
export async function createInterfaces(deps: InterfacesDeps): Promise<Interfaces> {
  const { loadInterfaces, listen, log } = deps
  let list = createList([])
  /** The reading under way, and the one that begins after it. */
  let reading: Promise<void> | null = null
  let next: Promise<void> | null = null
  let readAt = Number.NEGATIVE_INFINITY
  // A change from here on is told, so that what is read afterwards misses none.
  const unlisten = await listen(() => void refresh())
  list = createList(await loadInterfaces())
  const background = startTicker({
    intervalMs: INTERFACES_REFRESH_MS,
    work: refresh,
    onError: tell,
  })
  return {
    find: (interfaceId) => list.byId.get(interfaceId) ?? null,
    priceOf: (interfaceId) => list.byId.get(interfaceId)?.priceFen ?? null,
    match: (method, path) => list.match(method, path),
    refresh,
    lookAgain,
    stop,
  }

  function refresh(): Promise<void> {
    if (reading === null) {
      reading = read().finally(() => {
        reading = null
      })
      return reading
    }
    next ??= reading.then(() => {
      next = null
      return refresh()
    })
    return next
  }

  async function lookAgain(): Promise<void> {
    if (performance.now() - readAt >= INTERFACES_RELOAD_MS) await refresh()
    else await reading
  }

  async function read(): Promise<void> {
    readAt = performance.now()
    try {
      list = createList(await within(loadInterfaces(), LOAD))
    } catch (error) {
      tell(error)
    }
  }

  function tell(error: unknown): void {
    log(`the interfaces could not be read anew: ${messageOf(error)}`)
  }

  async function stop(): Promise<void> {
    await background.stop()
    await unlisten()
    await reading
  }
}

const LOAD = { timeoutMs: INTERFACES_LOAD_MS, what: "Postgres" }

function createList(rows: readonly InterfaceRow[]) {
  const all = rows.map((row) => ({ method: row.method, path: row.path, route: readRow(row) }))
  return { byId: new Map(all.map(({ route }) => [route.id, route])), match: createRouting(all) }
}

function readRow(row: InterfaceRow): Interface {
  const { id, chargeOn, upstreamUrl, timeoutMs } = row
  return {
    id,
    priceFen: parseFen(row.priceFen),
    isCharged: readChargeOn(chargeOn),
    upstreamUrl: upstreamUrl?.replace(/\/+$/, "") ?? null,
    timeoutMs,
    bodyBytesMax: Number(row.bodyBytesMax),
  }
}

/** `2xx`, `always`, or statuses with commas between them. */
function readChargeOn(chargeOn: string): Interface["isCharged"] {
  if (chargeOn === "always") return () => true
  if (chargeOn === "2xx") return (status) => status >= 200 && status < 300
  const statuses = new Set(chargeOn.split(",").map(Number))
  return (status) => statuses.has(status)
}
