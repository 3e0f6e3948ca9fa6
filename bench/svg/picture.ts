/** A drawing as a file of text: `file` is its name without a folder. */
export type Picture = { file: string; svg: string }

type Attributes = Readonly<Record<string, string | number>>

/** Told apart without their colours too: by their order, and by the text beside them. */
export const SERIES = 5

// The ground is drawn, so that the text is legible wherever the picture is shown.
const STYLE = `
:root { --ground: #ffffff; --ink: #1f2328; --faint: #59636e; --line: #d1d9e0;
  --s0: #0969da; --s1: #bf8700; --s2: #1a7f37; --s3: #cf222e; --s4: #8250df; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --line: #3d444d;
    --s0: #58a6ff; --s1: #d29922; --s2: #3fb950; --s3: #ff7b72; --s4: #bc8cff; } }
.ground { fill: var(--ground); } .line { stroke: var(--line); }
text { font: 13px system-ui, sans-serif; fill: var(--ink); }
text.faint { fill: var(--faint); } text.title { font-size: 15px; font-weight: 600; }
.s0 { fill: var(--s0); } .s1 { fill: var(--s1); } .s2 { fill: var(--s2); }
.s3 { fill: var(--s3); } .s4 { fill: var(--s4); }
path { fill: none; stroke-width: 2; }
path.s0 { stroke: var(--s0); } path.s1 { stroke: var(--s1); } path.s2 { stroke: var(--s2); }
path.s3 { stroke: var(--s3); } path.s4 { stroke: var(--s4); }
path.s0, path.s1, path.s2, path.s3, path.s4 { fill: none; }
`

export function element(name: string, attributes: Attributes, children = ""): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(value)}"`)
  return `<${name}${written.join("")}>${children}</${name}>`
}

export function label(words: string, attributes: Attributes): string {
  return element("text", attributes, escaped(words))
}

export function picture(options: {
  file: string
  title: string
  /** A sentence beneath the title. */
  note: string
  height: number
  body: readonly string[]
}): Picture {
  const { file, title, note, height, body } = options
  const svg = element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      viewBox: `0 0 ${WIDTH} ${height}`,
      width: WIDTH,
      height,
      role: "img",
    },
    [
      `<title>${escaped(title)}</title><style>${STYLE}</style>`,
      element("rect", { class: "ground", width: WIDTH, height, rx: 8 }),
      label(title, { class: "title", x: MARGIN, y: 30 }),
      label(note, { class: "faint", x: MARGIN, y: 50 }),
      ...body,
    ].join("\n"),
  )
  return { file, svg: `${svg}\n` }
}

export const WIDTH = 760
export const MARGIN = 24
/** Where the drawing begins, below title and note. */
export const TOP = 72

/** Names of series, each beside its colour. */
export function legend(names: readonly string[], y: number): string {
  let x = MARGIN
  const parts: string[] = []
  for (const [series, name] of names.entries()) {
    parts.push(element("rect", { class: `s${series % SERIES}`, x, y: y - 10, width: 12, height: 12 }))
    parts.push(label(name, { x: x + 18, y }))
    x += 18 + widthOf(name) + 22
  }
  return parts.join("")
}

/** Roughly: no font is at hand to measure with. */
export function widthOf(words: string): number {
  return words.length * 7
}

/** A few round numbers from 0 to at least `max`. */
export function ticksTo(max: number): number[] {
  const rough = Math.max(max, Number.MIN_VALUE) / 4
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10)
  const count = Math.ceil(max / step - 1e-9)
  return Array.from({ length: Math.max(1, count) + 1 }, (_, i) => i * step)
}

export function shortNumber(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en")
}

function escaped(value: string | number): string {
  return String(value)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
}
