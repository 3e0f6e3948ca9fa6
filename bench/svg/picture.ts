/** A drawing as a file of text: `file` is its name without a folder. */
export type Picture = { file: string; svg: string }

type Attributes = Readonly<Record<string, string | number>>

type Colours = {
  ground: string
  ink: string
  faint: string
  line: string
  series: readonly string[]
}

const LIGHT: Colours = {
  ...{ ground: "#ffffff", ink: "#1f2328", faint: "#59636e", line: "#d1d9e0" },
  series: ["#0969da", "#bf8700", "#1a7f37", "#cf222e", "#8250df"],
}
const DARK: Colours = {
  ...{ ground: "#0d1117", ink: "#f0f6fc", faint: "#9198a1", line: "#3d444d" },
  series: ["#58a6ff", "#d29922", "#3fb950", "#ff7b72", "#bc8cff"],
}

/** The ground is drawn as well, so that the text is legible wherever the picture is shown. */
const STYLE = `text { font: 13px system-ui, sans-serif; } .title { font-size: 15px; font-weight: 600; }
.curve { fill: none; stroke-width: 2; }
${rulesOf(LIGHT)}
@media (prefers-color-scheme: dark) {
${rulesOf(DARK)}
}`

/** Plain rules, and no variables: not every program that shows pictures knows those. */
function rulesOf({ ground, ink, faint, line, series }: Colours): string {
  return [
    `.ground { fill: ${ground}; } text { fill: ${ink}; } .faint { fill: ${faint}; }`,
    `.line { stroke: ${line}; }`,
    ...series.map((colour, i) => `.s${i} { fill: ${colour}; } .c${i} { stroke: ${colour}; }`),
  ].join("\n")
}

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

/** How many series have a colour of their own. */
export const SERIES = LIGHT.series.length
export const WIDTH = 760
export const MARGIN = 24
/** Where the drawing begins, below title and note. */
export const TOP = 72

/** Names of series, each beside its colour. */
export function legend(names: readonly string[], y: number): string {
  let x = MARGIN
  const parts: string[] = []
  for (const [series, name] of names.entries()) {
    parts.push(
      element("rect", { class: `s${series % SERIES}`, x, y: y - 10, width: 12, height: 12 }),
    )
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
  const rough = (max > 0 ? max : 1) / 4
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
