import type { Proof } from "./books.ts"
import type { Options } from "./options.ts"
import type { Account } from "./seed.ts"
import type { Picture } from "./svg/picture.ts"
import type { System } from "./system.ts"
import type { Target } from "./target.ts"
import type { Terminal } from "./terminal.ts"

/** What every part of a run is given. */
export type Bench = {
  system: System
  options: Options
  terminal: Terminal
  /** A thousand or so, over which calls are spread; all are in the proof. */
  accounts: readonly Account[]
  /** Every accepted charge is noted in it: the books are compared with it at the end. */
  proof: Proof
}

/** What a part of a run has found, for the terminal and for RESULTS.md. */
export type Section = {
  title: string
  lines: readonly string[]
  targets: readonly Target[]
  pictures?: readonly Picture[]
}
