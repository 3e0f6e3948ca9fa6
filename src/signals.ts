/** Resolves at the first signal that asks this process to stop; later ones change nothing. */
export function stopRequested(): Promise<void> {
  // A terminal that has gone away must not turn the next line of output into a crash.
  process.stdout.on("error", () => {})
  process.stderr.on("error", () => {})
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.on(signal, () => resolve())
    // Only a process that the supervisor started has this channel: it closes when that dies.
    process.on("disconnect", () => resolve())
  })
}
