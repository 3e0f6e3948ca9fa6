/** Rows as columns of text, the first row underlined; as wide as its widest cell. */
export function renderTable(rows: readonly (readonly (string | number)[])[]): string {
  const texts = rows.map((row) => row.map(String))
  const widths = (texts[0] ?? []).map((_, column) =>
    Math.max(...texts.map((row) => row[column]?.length ?? 0)),
  )
  const lines = texts.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  )
  const [head = "", ...rest] = lines
  return `${[head, "-".repeat(head.length), ...rest].join("\n")}\n`
}
