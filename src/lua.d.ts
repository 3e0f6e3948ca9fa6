/** Importing a Lua file `with { type: "text" }` gives its text. */
declare module "*.lua" {
  const text: string
  // oxlint-disable-next-line import/no-default-export
  export default text
}
