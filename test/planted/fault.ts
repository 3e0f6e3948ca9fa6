/** A mistake that is planted in a copy of the tree, and the one test that must catch it. */
export type PlantedFault = {
  /** What is done wrong, as a sentence about the program. */
  name: string
  /** What money that would cost, and whose. */
  loses: string
  edits: readonly Edit[]
  caughtBy: NamedTest
}

/** `from` stands once in its file. */
export type Edit = { file: string; from: string; to: string }

/** A test's file, and its whole name: those of its groups before it, as `bun test -t` takes it. */
export type NamedTest = { file: string; test: string }

/** How often the text of each edit stands in its file: once, or the fault has to be written anew. */
export function countPlaces({ edits }: PlantedFault, read: (file: string) => string): number[] {
  return edits.map(({ file, from }) => read(file).split(from).length - 1)
}

/** Writes the edits into a tree. Throws where a text is not there once. */
export function plant(
  { name, edits }: Pick<PlantedFault, "name" | "edits">,
  tree: { read(file: string): string; write(file: string, text: string): void },
): void {
  for (const { file, from, to } of edits) {
    const parts = tree.read(file).split(from)
    if (parts.length !== 2) {
      throw new Error(`"${name}" finds its place ${parts.length - 1} times in ${file}`)
    }
    tree.write(file, parts.join(to))
  }
}
