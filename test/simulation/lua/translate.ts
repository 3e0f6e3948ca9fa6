import { type Expression, parse, type Statement } from "luaparse"
import { functions, operators } from "./library.ts"
import { type LuaTable, type LuaValue, one, type Several } from "./values.ts"

/**
 * A script of `lua/` as a function of JavaScript, translated from the very text that Redis runs. A VM
 * would do as well: fengari needs 110 µs for what this does in 3, and computes with 32 bits.
 * It knows what the scripts use of Lua 5.1, and refuses the rest when it is loaded.
 */
export type Script = (keys: LuaTable, args: LuaTable) => LuaValue

/** `call`: what scripts call as `redis.call`. */
export function translate(text: string, call: (...args: LuaValue[]) => LuaValue): Script {
  const body = text.replace(/^#!.*/, "")
  const { body: statements } = parse(body, { luaVersion: "5.1", encodingMode: "pseudo-latin1" })
  const code = new Translation().chunk(statements)
  // oxlint-disable-next-line typescript/no-implied-eval -- the text is a script of this repository
  const compiled: unknown = new Function("L", "F", "redis_call", "KEYS", "ARGV", code)
  if (typeof compiled !== "function") throw new Error("not a function")
  return (keys, args) => {
    const result: unknown = compiled(operators, functions, call, keys, args)
    return isResult(result) ? one(result) : undefined
  }
}

function isResult(result: unknown): result is LuaValue | Several {
  return result !== null
}

const GLOBALS = new Set(["KEYS", "ARGV"])
const OPERATORS: Readonly<Record<string, string | undefined>> = {
  "+": "add",
  "-": "sub",
  "*": "mul",
  "/": "div",
  "%": "mod",
  "..": "concat",
}

class Translation {
  #scopes: Map<string, string>[] = [new Map()]
  #count = 0

  /** `v`: what `and` and `or` have just looked at. */
  chunk(statements: readonly Statement[]): string {
    return `"use strict"; let v;\n${this.#block(statements)}`
  }

  #block(statements: readonly Statement[], declared: readonly [string, string][] = []): string {
    this.#scopes.push(new Map(declared))
    const code = statements.map((statement) => this.#statement(statement)).join("\n")
    this.#scopes.pop()
    return code
  }

  #fresh(name: string): string {
    return `${name}$${++this.#count}`
  }

  #declare(name: string): string {
    const fresh = this.#fresh(name)
    this.#scopes.at(-1)?.set(name, fresh)
    return fresh
  }

  #find(name: string): string | undefined {
    return this.#scopes.findLast((scope) => scope.has(name))?.get(name)
  }

  #statement(statement: Statement): string {
    switch (statement.type) {
      case "LocalStatement":
        return this.#local(statement)
      case "AssignmentStatement":
        return this.#assignment(statement)
      case "CallStatement":
        return `${this.#call(statement.expression)};`
      case "ReturnStatement":
        return this.#return(statement.arguments)
      case "IfStatement":
        return this.#if(statement)
      case "DoStatement":
        return `{\n${this.#block(statement.body)}\n}`
      case "WhileStatement":
        return `while (${this.#condition(statement.condition)}) {\n${this.#block(statement.body)}\n}`
      case "FunctionDeclaration": {
        const { identifier, isLocal } = statement
        if (identifier?.type !== "Identifier")
          throw new Error("a function without a name of its own")
        if (!isLocal) return `${this.#variable(identifier.name)} = ${this.#function(statement)};`
        const name = this.#declare(identifier.name)
        return `const ${name} = ${this.#function(statement)};`
      }
      case "ForNumericStatement": {
        const { variable, start, end, step, body } = statement
        if (step !== null) throw new Error("a step in a loop is not translated")
        const [name, last] = [this.#fresh(variable.name), this.#fresh("last")]
        const head = `let ${name} = ${this.#value(start)}, ${last} = ${this.#value(end)}`
        const inner = this.#block(body, [[variable.name, name]])
        return `for (${head}; ${name} <= ${last}; ${name}++) {\n${inner}\n}`
      }
      case "ForGenericStatement": {
        const { variables, iterators, body } = statement
        const names = variables.map(({ name }): [string, string] => [name, this.#fresh(name)])
        const [iterator] = iterators
        if (iterator === undefined || iterators.length > 1) throw new Error("a loop over too much")
        const list = names.map(([, name]) => name).join(", ")
        const inner = this.#block(body, names)
        return `for (const [${list}] of L.entries(${this.#expression(iterator)})) {\n${inner}\n}`
      }
      default:
        throw new Error(`not translated: ${statement.type}`)
    }
  }

  #local({ variables, init }: Extract<Statement, { type: "LocalStatement" }>): string {
    const values = this.#values(init, variables.length)
    return `let ${variables
      .map(({ name }, i) => [name, values.list[i] ?? "undefined"] as const)
      .reduce((code, [name, value]) => `${code}, ${this.#declare(name)} = ${value}`, values.head)};`
  }

  #assignment({ variables, init }: Extract<Statement, { type: "AssignmentStatement" }>): string {
    const [target, value] = [variables[0], init[0]]
    if (variables.length === 1 && target !== undefined && value !== undefined) {
      return this.#put(target, this.#value(value))
    }
    const values = this.#values(init, variables.length)
    const names = variables.map(() => this.#fresh("t"))
    const all = names.map((name, i) => `${name} = ${values.list[i] ?? "undefined"}`).join(", ")
    const puts = variables.map((variable, i) => this.#put(variable, names[i] ?? ""))
    return `{ let ${values.head}, ${all}; ${puts.join(" ")} }`
  }

  #put(target: Expression, value: string): string {
    if (target.type === "Identifier") return `${this.#variable(target.name)} = ${value};`
    if (target.type === "IndexExpression") {
      return `L.put(${this.#value(target.base)}, ${this.#value(target.index)}, ${value});`
    }
    throw new Error(`nothing is put into a ${target.type}`)
  }

  #variable(name: string): string {
    const found = this.#find(name)
    if (found === undefined) throw new Error(`the global ${name} is written to`)
    return found
  }

  /** As many values as are wanted; a call at the end gives all that are left. */
  #values(init: readonly Expression[], wanted: number): { head: string; list: string[] } {
    const last = init.at(-1)
    const spare = this.#fresh("list")
    if (last === undefined || !isCall(last) || init.length >= wanted) {
      return { head: `${spare}`, list: init.map((expression) => this.#value(expression)) }
    }
    const before = init.slice(0, -1).map((expression) => this.#value(expression))
    const named = before.map(() => this.#fresh("t"))
    const heads = before.map((value, i) => `${named[i]} = ${value}`)
    const head = [...heads, `${spare} = L.all(${this.#expression(last)})`].join(", ")
    const rest = Array.from({ length: wanted - before.length }, (_, i) => `${spare}[${i}]`)
    return { head, list: [...named, ...rest] }
  }

  #return(results: readonly Expression[]): string {
    const [first] = results
    if (first === undefined) return "return undefined;"
    if (results.length === 1) return `return ${this.#expression(first)};`
    return `return L.several([${this.#list(results)}]);`
  }

  #if({ clauses }: Extract<Statement, { type: "IfStatement" }>): string {
    return clauses
      .map((clause) => {
        const body = `{\n${this.#block(clause.body)}\n}`
        if (clause.type === "ElseClause") return body
        return `if (${this.#condition(clause.condition)}) ${body}`
      })
      .join(" else ")
  }

  #function({ parameters, body }: Extract<Statement, { type: "FunctionDeclaration" }>): string {
    const names = parameters.map((parameter): [string, string] => {
      if (parameter.type !== "Identifier") throw new Error("a function of any number of arguments")
      return [parameter.name, this.#fresh(parameter.name)]
    })
    return `(${names.map(([, name]) => name).join(", ")}) => {\n${this.#block(body, names)}\n}`
  }

  #condition(expression: Expression): string {
    const value = this.#value(expression)
    return isBoolean(expression) ? value : `L.isTrue(${value})`
  }

  /** Exactly one value. */
  #value(expression: Expression): string {
    const code = this.#expression(expression)
    return isCall(expression) ? `L.one(${code})` : code
  }

  /** Of arguments and tables: a call at the end gives all its values. */
  #list(expressions: readonly Expression[]): string {
    return expressions
      .map((expression, i) => {
        if (i < expressions.length - 1 || !isCall(expression)) return this.#value(expression)
        return `...L.all(${this.#expression(expression)})`
      })
      .join(", ")
  }

  #expression(expression: Expression): string {
    switch (expression.type) {
      case "StringLiteral":
        return JSON.stringify(expression.value)
      case "NumericLiteral":
      case "BooleanLiteral":
        return String(expression.value)
      case "NilLiteral":
        return "undefined"
      case "Identifier":
        return this.#identifier(expression.name)
      case "FunctionDeclaration":
        return this.#function(expression)
      case "CallExpression":
      case "StringCallExpression":
      case "TableCallExpression":
        return this.#call(expression)
      case "IndexExpression":
        return `L.index(${this.#value(expression.base)}, ${this.#value(expression.index)})`
      case "MemberExpression":
        return this.#member(expression)
      case "TableConstructorExpression":
        return this.#table(expression)
      case "UnaryExpression":
        return this.#unary(expression)
      case "LogicalExpression":
        return this.#logical(expression)
      case "BinaryExpression":
        return this.#binary(expression)
      default:
        throw new Error(`not translated: ${expression.type}`)
    }
  }

  #identifier(name: string): string {
    const found = this.#find(name)
    if (found !== undefined) return found
    if (GLOBALS.has(name)) return name
    if (functions[name] !== undefined) return `F[${JSON.stringify(name)}]`
    throw new Error(`there is no global ${name}`)
  }

  /** Only functions of the library are members of something. */
  #member({ base, identifier }: Extract<Expression, { type: "MemberExpression" }>): string {
    if (base.type !== "Identifier" || this.#find(base.name) !== undefined) {
      throw new Error(`a member of what is no library: ${identifier.name}`)
    }
    const name = `${base.name}.${identifier.name}`
    if (name === "redis.call") return "redis_call"
    if (functions[name] === undefined) throw new Error(`there is no ${name}`)
    return `F[${JSON.stringify(name)}]`
  }

  #call(expression: Expression): string {
    if (expression.type !== "CallExpression") throw new Error(`no call: ${expression.type}`)
    const { base, arguments: args } = expression
    const isKnown = base.type === "MemberExpression"
    const list = this.#list(args)
    if (isKnown) return `${this.#member(base)}(${list})`
    return `L.call(${this.#value(base)}${list === "" ? "" : `, ${list}`})`
  }

  #table({ fields }: Extract<Expression, { type: "TableConstructorExpression" }>): string {
    const values = fields.map((field) => {
      if (field.type !== "TableValue") throw new Error("a table of names is not translated")
      return field.value
    })
    return `L.table([${this.#list(values)}])`
  }

  #unary({ operator, argument }: Extract<Expression, { type: "UnaryExpression" }>): string {
    if (operator === "not") return `!${this.#condition(argument)}`
    if (operator === "#") return `L.len(${this.#value(argument)})`
    return `L.neg(${this.#value(argument)})`
  }

  #logical({ operator, left, right }: Extract<Expression, { type: "LogicalExpression" }>): string {
    const [first, second] = [this.#value(left), this.#value(right)]
    return operator === "and"
      ? `(L.isTrue(v = ${first}) ? ${second} : v)`
      : `(L.isTrue(v = ${first}) ? v : ${second})`
  }

  #binary({ operator, left, right }: Extract<Expression, { type: "BinaryExpression" }>): string {
    const [a, b] = [this.#value(left), this.#value(right)]
    const known = OPERATORS[operator]
    if (known !== undefined) return `L.${known}(${a}, ${b})`
    switch (operator) {
      case "==":
        return `(${a} === ${b})`
      case "~=":
        return `(${a} !== ${b})`
      case "<":
        return `L.lt(${a}, ${b})`
      case "<=":
        return `L.le(${a}, ${b})`
      case ">":
        return `L.lt(${b}, ${a})`
      case ">=":
        return `L.le(${b}, ${a})`
      default:
        throw new Error(`the operator ${operator} is not translated`)
    }
  }
}

function isCall(expression: Expression): boolean {
  return expression.type === "CallExpression"
}

function isBoolean(expression: Expression): boolean {
  if (expression.type === "UnaryExpression") return expression.operator === "not"
  return (
    expression.type === "BinaryExpression" &&
    ["==", "~=", "<", "<=", ">", ">="].includes(expression.operator)
  )
}
