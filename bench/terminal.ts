/** The lines of a run: one that is written over while a load runs, and those that stay. */
export type Terminal = {
  live(line: string): void
  say(line: string): void
}

export function createTerminal(): Terminal {
  const isInteractive = process.stdout.isTTY
  return {
    live(line) {
      if (isInteractive)
        process.stdout.write(`\r\x1b[K${line.slice(0, process.stdout.columns - 1)}`)
    },
    say(line) {
      process.stdout.write(`${isInteractive ? "\r\x1b[K" : ""}${line}\n`)
    },
  }
}
