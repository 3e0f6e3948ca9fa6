import type { System } from "./system.ts"

/** The flusher is stopped in the middle of its work, as a process that gets no time; answers how it goes on. */
export function holdBackFlusher({ pids }: Pick<System, "pids">): () => void {
  const { flusher } = pids()
  for (const pid of flusher) process.kill(pid, "SIGSTOP")
  return () => {
    for (const pid of flusher) process.kill(pid, "SIGCONT")
  }
}
