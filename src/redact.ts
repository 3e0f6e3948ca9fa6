/**
 * Passes on, line by line, what a process says on standard error, and leaves out the query of every
 * URL in it: the runtime itself prints the address of an upstream that broke off in the middle of its
 * answer, and callers put credentials into queries.
 */
export async function passOnRedacted(
  output: ReadableStream<Uint8Array>,
  write: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const bytes of output) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) write(`${redact(line)}\n`)
  }
  if (rest !== "") write(redact(rest))
}

const QUERY = /(\b[a-z][a-z+.-]*:\/\/[^\s?"'`<>]*)\?[^\s"'`<>]*/gi

export function redact(line: string): string {
  return line.replace(QUERY, "$1?…")
}
