/** What is not as it must be, as sentences: the first ones of each kind, and how many more there are. */
export type Findings = {
  add(kind: string, sentences: readonly string[]): void
  list(): string[]
}

const FINDINGS_OF_A_KIND_MAX = 20

export function createFindings(): Findings {
  const kinds = new Map<string, { first: string[]; more: number }>()
  return {
    add(kind, sentences) {
      if (sentences.length === 0) return
      const found = kinds.get(kind) ?? { first: [], more: 0 }
      kinds.set(kind, found)
      const free = FINDINGS_OF_A_KIND_MAX - found.first.length
      found.first.push(...sentences.slice(0, free))
      found.more += Math.max(0, sentences.length - free)
    },
    list: () =>
      [...kinds.values()].flatMap(({ first, more }) =>
        more > 0 ? [...first, `and ${more} more of this kind`] : first,
      ),
  }
}
