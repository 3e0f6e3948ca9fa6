import { type Static, type TSchema, Type } from "@sinclair/typebox"
import { Value } from "@sinclair/typebox/value"
import { Figures } from "./figures.ts"

/** What the supervisor and its roles' processes say to each other. Questions are numbered. */

/** A role's process works; is asked to stop and leaves once it may; answers; asks for all figures. */
export const FromRole = Type.Union([
  Type.Object({ type: Type.Literal("ready") }),
  Type.Object({ type: Type.Literal("leaving") }),
  Type.Object({
    type: Type.Literal("figures"),
    /** Null: nobody asked; they are its last. */
    question: Type.Union([Type.Integer(), Type.Null()]),
    figures: Figures,
  }),
  Type.Object({ type: Type.Literal("gather"), question: Type.Integer() }),
])
export type FromRole = Static<typeof FromRole>

export const ToRole = Type.Union([
  Type.Object({
    type: Type.Literal("leave"),
    reason: Type.Union([Type.Literal("replaced"), Type.Literal("stopping")]),
  }),
  Type.Object({ type: Type.Literal("tell_figures"), question: Type.Integer() }),
  Type.Object({
    type: Type.Literal("gathered"),
    question: Type.Integer(),
    figures: Figures,
    gateways: Type.Integer(),
    silent: Type.Integer(),
  }),
])
export type ToRole = Static<typeof ToRole>

/** Both ends are of one version: anything else is a broken invariant. */
export function readMessage<Schema extends TSchema>(
  schema: Schema,
  message: unknown,
): Static<Schema> {
  return Value.Parse(["Assert"], schema, message)
}
