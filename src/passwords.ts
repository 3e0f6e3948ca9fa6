import { randomChars } from "./ids.ts"
import { PASSWORDS_WAITING_MAX } from "./limits.ts"

/** `busy`: too many are waiting already; nothing was done. */
export type Turn<Value> = { status: "done"; value: Value } | { status: "busy" }

/** Passwords, as argon2id with OWASP's parameters: 19 MiB and two passes, about 25 ms of a core. */
export type Passwords = {
  hash(password: string): Promise<string>
  /** With null for the hash it takes as long and is false: nobody learns which e-mails exist. */
  matches(password: string, passwordHash: string | null): Promise<boolean>
  /** One after the other in this process, so that a wave of logins never takes the machine. */
  inTurn<Value>(work: () => Promise<Value>): Promise<Turn<Value>>
}

const ARGON2ID = { algorithm: "argon2id", memoryCost: 19_456, timeCost: 2 } as const

export function createPasswords(): Passwords {
  const nobodys = Bun.password.hash(randomChars(20), ARGON2ID)
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0

  async function inTurn<Value>(work: () => Promise<Value>): Promise<Turn<Value>> {
    if (waiting >= PASSWORDS_WAITING_MAX) return { status: "busy" }
    waiting++
    const turn = last.then(work).finally(() => {
      waiting--
    })
    // The next one's turn comes however this one ends.
    last = turn.catch(() => undefined)
    return { status: "done", value: await turn }
  }

  return {
    inTurn,
    hash: (password) => Bun.password.hash(password, ARGON2ID),
    async matches(password, passwordHash) {
      const isMatch = await Bun.password.verify(password, passwordHash ?? (await nobodys))
      return isMatch && passwordHash !== null
    },
  }
}
