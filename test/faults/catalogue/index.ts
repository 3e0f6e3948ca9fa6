import type { Fault } from "../fault.ts"
import { LOSS_FAULTS } from "./losses.ts"
import { NETWORK_FAULTS } from "./network.ts"
import { POSTGRES_FAULTS } from "./postgres.ts"
import { PROCESS_FAULTS } from "./processes.ts"
import { REDEMPTION_FAULTS } from "./redemptions.ts"
import { RESOURCE_FAULTS } from "./resources.ts"
import { RESTORED_FAULTS } from "./restored.ts"
import { STEP_FAULTS } from "./steps.ts"

export const FAULTS: readonly Fault[] = [
  ...[...PROCESS_FAULTS, ...STEP_FAULTS, ...NETWORK_FAULTS, ...POSTGRES_FAULTS],
  ...RESTORED_FAULTS,
  ...[...LOSS_FAULTS, ...RESOURCE_FAULTS, ...REDEMPTION_FAULTS],
]

/** Those that have a short form. */
export const SHORT_FAULTS = FAULTS.filter(({ isLongOnly }) => isLongOnly !== true)
