import { dlopen, ptr } from "bun:ffi"
import { closeSync, openSync, readdirSync } from "node:fs"
import { readIfThere } from "../embedded/processes.ts"
import { ACCEPT_MS_MAX } from "../limits.ts"

/**
 * Closes the listening socket of a server that goes on serving, so that no connection is reset.
 *
 * Each gateway process listens on a socket of its own (SO_REUSEPORT), to which the kernel gives its
 * share of the connections. Closing it resets what waits there to be accepted, and handshakes that
 * are under way (`net.ipv4.tcp_migrate_req` = 0, the default): measured, 6 calls at each restart.
 * So it first takes no new handshake: a packet filter on this one socket drops SYNs, which the
 * client's kernel sends again after a second, to the others. What had come is accepted, and only
 * then it is closed. Bun can do neither, but libc can; Bun's `stop()` would also close every
 * connection that is idle at that moment.
 */

const LIBC = "libc.so.6"
const [SOL_SOCKET, SO_ATTACH_FILTER, SO_ACCEPTCONN] = [1, 26, 30]
const AF_INETS: readonly number[] = [2, 10]
const [IPPROTO_TCP, TCP_DEFER_ACCEPT, TCP_INFO] = [6, 9, 11]
/** Where in `struct tcp_info` a listening socket says how many wait to be accepted. */
const TCP_INFO_UNACKED = 24

export type Listener = {
  /** Resolves when it is closed. A handshake that began gets `handshakeMs` to end. */
  close(options: { handshakeMs: number }): Promise<void>
  /** At once: what waits there is reset, or goes to another listener (`isMigrating`). */
  closeNow(): void
  /** How many clients are connected. */
  connections(): number
}

/** Null where the system has no such calls. */
export function findListener(port: number): Listener | null {
  const calls = openLibc()
  if (calls === null) return null
  const listening = listeningAt(calls, port)
  const closeNow = (): void => {
    for (const fd of listening.splice(0)) replaceByNothing(calls, fd)
  }

  return {
    closeNow,
    connections: () => socketsOf(calls, port).filter(({ isListening }) => !isListening).length,
    async close({ handshakeMs }) {
      for (const fd of listening) dropNewHandshakes(calls, fd)
      // Bun accepts whatever waits at each turn of the event loop.
      await Bun.sleep(handshakeMs)
      const isWaiting = () => listening.some((fd) => waitingAt(calls, fd) > 0)
      for (let ms = 0; isWaiting() && ms < ACCEPT_MS_MAX; ms++) await Bun.sleep(1)
      closeNow()
    },
  }
}

/**
 * From now on connections are accepted as they come. Bun has the kernel keep each one until its client
 * has sent something, and what is kept so when the port closes is reset.
 */
export function acceptAtOnce(port: number): void {
  const calls = openLibc()
  if (calls === null) return
  const [off, length] = [new Int32Array(1), Int32Array.BYTES_PER_ELEMENT]
  for (const fd of listeningAt(calls, port)) {
    calls.setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, off, length)
  }
}

/** Whether the kernel gives what waits at a socket that closes to another one on its port. */
export function isMigrating(): boolean {
  return readIfThere("/proc/sys/net/ipv4/tcp_migrate_req")?.trim() === "1"
}

type Libc = NonNullable<ReturnType<typeof openLibc>>

function openLibc() {
  if (process.platform !== "linux") return null
  try {
    return dlopen(LIBC, {
      setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
      getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
      getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
      dup2: { args: ["i32", "i32"], returns: "i32" },
    }).symbols
  } catch {
    // Another C library: `findListener` says so.
    return null
  }
}

/** This process's sockets whose own end is the port: the listening one and the clients'. */
function socketsOf(libc: Libc, port: number): { fd: number; isListening: boolean }[] {
  const address = new Uint8Array(28)
  const fields = new DataView(address.buffer)
  const length = new Uint32Array(1)
  const flag = new Int32Array(1)
  return readdirSync("/proc/self/fd").flatMap((name) => {
    const fd = Number(name)
    length[0] = address.byteLength
    if (libc.getsockname(fd, address, length) !== 0) return []
    const isOurs = AF_INETS.includes(fields.getUint16(0, true)) && fields.getUint16(2) === port
    if (!isOurs) return []
    length[0] = flag.byteLength
    libc.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, flag, length)
    return [{ fd, isListening: flag[0] === 1 }]
  })
}

function listeningAt(libc: Libc, port: number): number[] {
  return socketsOf(libc, port).flatMap(({ fd, isListening }) => (isListening ? [fd] : []))
}

function waitingAt(libc: Libc, fd: number): number {
  const info = new Uint8Array(104)
  const length = new Uint32Array([info.byteLength])
  const isRead = libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, length) === 0
  return isRead ? new DataView(info.buffer).getUint32(TCP_INFO_UNACKED, true) : 0
}

// Classic BPF over the TCP header: (flags & (SYN | ACK)) == SYN is dropped, all else passes.
const DROP_SYN = [
  { code: 0x30, jt: 0, jf: 0, k: 13 },
  { code: 0x54, jt: 0, jf: 0, k: 0x12 },
  { code: 0x15, jt: 0, jf: 1, k: 0x02 },
  { code: 0x06, jt: 0, jf: 0, k: 0 },
  { code: 0x06, jt: 0, jf: 0, k: 0xffff_ffff },
] as const

function dropNewHandshakes(libc: Libc, fd: number): void {
  const steps = new Uint8Array(DROP_SYN.length * 8)
  const code = new DataView(steps.buffer)
  for (const [i, step] of DROP_SYN.entries()) {
    code.setUint16(i * 8, step.code, true)
    code.setUint8(i * 8 + 2, step.jt)
    code.setUint8(i * 8 + 3, step.jf)
    code.setUint32(i * 8 + 4, step.k, true)
  }
  const program = new Uint8Array(16)
  const fields = new DataView(program.buffer)
  fields.setUint16(0, DROP_SYN.length, true)
  fields.setBigUint64(8, BigInt(ptr(steps)), true)
  libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, program.byteLength)
}

/** The number stays taken, so that Bun, which does not know, later closes this and nothing else. */
function replaceByNothing(libc: Libc, fd: number): void {
  const nothing = openSync("/dev/null", "r")
  libc.dup2(nothing, fd)
  closeSync(nothing)
}
