import { FAULTS } from "../planted/catalogue/index.ts"
import type { Edit } from "../planted/fault.ts"

/** Postgres is a stand-in here: what a statement does is planted in that. */
const HERE: readonly { name: string; edits: readonly Edit[] }[] = [
  {
    name: "the stand-in moves the watermark without a comparison",
    edits: [
      {
        file: "test/simulation/postgres/flush.ts",
        from: "if (row === undefined || !standsAt(row, flush)) return null",
        to: "if (row === undefined) return null",
      },
    ],
  },
]

/** A fault of `test/planted`, or of these. */
export function editsOf(name: string): readonly Edit[] {
  const found = [...FAULTS, ...HERE].find((fault) => fault.name === name)
  if (found === undefined) throw new Error(`no fault is called "${name}"`)
  return found.edits
}
