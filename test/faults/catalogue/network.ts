import type { Fault, Scene } from "../fault.ts"

/** Connections that break, in the ways in which networks break them. */

/** In every record's details, so that a request with it is a batch. */
const BATCH = "user.login"

const relayOf = ({ site, chance }: Scene) => chance.pick(site.gateways).toRedis

const cutBeforeReply: Fault = {
  name: "connection cut after the command was sent, before its reply",
  async strike({ site, chance }) {
    for (let cuts = chance.between(2, 5); cuts > 0; cuts--) {
      const { toRedis } = chance.pick(site.gateways)
      toRedis.interrupt(BATCH, "reply", () => undefined)
      await Bun.sleep(chance.between(20, 120))
    }
    return async () => undefined
  },
}

const cutBeforeRequest: Fault = {
  name: "connection cut before the command arrives",
  async strike({ site, chance }) {
    for (let cuts = chance.between(2, 5); cuts > 0; cuts--) {
      const { toRedis } = chance.pick(site.gateways)
      toRedis.interrupt(BATCH, "request", () => undefined)
      await Bun.sleep(chance.between(20, 120))
    }
    return async () => undefined
  },
}

const lateReply: Fault = {
  name: "reply delayed past the deadline",
  outageMs: [250, 700],
  async strike(at) {
    const relay = relayOf(at)
    relay.holdReplies()
    return async () => relay.release()
  },
}

const lateRequest: Fault = {
  name: "command delayed past the deadline, its sender gone",
  outageMs: [250, 700],
  async strike(at) {
    const relay = relayOf(at)
    relay.holdRequests()
    await Bun.sleep(at.chance.between(20, 200))
    // What was sent arrives after its sender has come again on another connection.
    relay.cutClients()
    return async () => relay.release()
  },
}

const halfOpen: Fault = {
  name: "half-open connections to Redis",
  outageMs: [300, 1_200],
  async strike(at) {
    relayOf(at).blackHole()
    return async () => undefined
  },
}

const partitioned: Fault = {
  name: "a gateway cut off from Redis",
  async strike(at) {
    const relay = relayOf(at)
    relay.refuse()
    return async () => relay.accept()
  },
}

const flusherCutOff: Fault = {
  name: "the flusher's connections cut, to both stores",
  async strike({ site, chance }) {
    const { toRedis, toPostgres } = site.flusher
    for (let cuts = chance.between(3, 8); cuts > 0; cuts--) {
      chance.pick([toRedis, toPostgres]).cutAll()
      await Bun.sleep(chance.between(10, 150))
    }
    return async () => undefined
  },
}

const noPostgres: Fault = {
  name: "a gateway cut off from Postgres",
  async strike({ site, chance }) {
    const { toPostgres } = chance.pick(site.gateways)
    toPostgres.refuse()
    return async () => toPostgres.accept()
  },
}

export const NETWORK_FAULTS: readonly Fault[] = [
  ...[cutBeforeReply, cutBeforeRequest, lateReply, lateRequest, halfOpen, partitioned],
  ...[flusherCutOff, noPostgres],
]
