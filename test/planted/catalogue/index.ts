import type { PlantedFault } from "../fault.ts"
import { AROUND_FAULTS } from "./around.ts"
import { FLUSH_FAULTS } from "./flush.ts"
import { RECOVERY_FAULTS } from "./recovery.ts"
import { SCRIPT_FAULTS } from "./scripts.ts"
import { SENDING_FAULTS } from "./sending.ts"

export const FAULTS: readonly PlantedFault[] = [
  ...SENDING_FAULTS,
  ...SCRIPT_FAULTS,
  ...FLUSH_FAULTS,
  ...RECOVERY_FAULTS,
  ...AROUND_FAULTS,
]
