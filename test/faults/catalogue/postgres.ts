import type { Fault } from "../fault.ts"

/** A Postgres that is away, or ends while a flush is under way. */

const away: Fault = {
  name: "Postgres away",
  outageMs: [1_500, 2_500],
  longOutageMs: [60_000, 60_000],
  isSlow: true,
  async strike({ site, load, note }) {
    await site.postgres.stop()
    const before = paid(load.seen.samples)
    return async () => {
      note(`${paid(load.seen.samples) - before} calls were charged meanwhile`)
      await site.postgres.start()
    }
  },
}

function paid(samples: readonly { outcome: string }[]): number {
  return samples.filter(({ outcome }) => outcome === "paid").length
}

/** In the details of every flush that carries charges. */
const FLUSH = "user.login"
const FLUSH_MS_MAX = 5_000

const duringFlush = (["request", "reply"] as const).map(
  (moment): Fault => ({
    name: `Postgres restarted within a flush, ${moment === "request" ? "before" : "after"} its commit`,
    outageMs: [0, 400],
    async strike({ site: { flusher, postgres }, chance, note }) {
      const end = chance.is(0.5) ? postgres.kill : postgres.stop
      const ended = Promise.withResolvers<"ended">()
      let isAwaited = true
      flusher.toPostgres.interrupt(FLUSH, moment, () => {
        if (isAwaited) void end().then(() => ended.resolve("ended"))
      })
      if ((await Promise.race([ended.promise, Bun.sleep(FLUSH_MS_MAX)])) !== "ended") {
        isAwaited = false
        note("no flush came by")
        await end()
      }
      return postgres.start
    },
  }),
)

const twoFlushers: Fault = {
  name: "two flushers at once, each frozen in turn",
  outageMs: [0, 0],
  async strike({ site, chance }) {
    const second = await site.startFlusher()
    const both = [site.flusher, second]
    for (let turns = 4; turns > 0; turns--) {
      const one = chance.pick(both)
      one.freeze()
      await Bun.sleep(chance.between(50, 500))
      one.thaw()
      await Bun.sleep(chance.between(0, 200))
    }
    return second.end
  },
}

const backends: Fault = {
  name: "every connection of Postgres terminated, again and again",
  outageMs: [0, 100],
  async strike({ site, chance }) {
    for (let turns = chance.between(3, 8); turns > 0; turns--) {
      await site.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name like 'fengate%' and pid <> pg_backend_pid()
      `
      await Bun.sleep(chance.between(10, 150))
    }
    return async () => undefined
  },
}

export const POSTGRES_FAULTS: readonly Fault[] = [away, ...duringFlush, twoFlushers, backends]
