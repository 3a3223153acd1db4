import type { StandardJSONSchemaV1, StandardSchemaV1 } from "@standard-schema/spec";
import { expectTypeOf, test } from "vitest";
import * as z from "zod";
import type { OutputOf, StandardSchema } from "./standard-schema.ts";

test("what the standard calls a schema is one for us, with the same output", () => {
  expectTypeOf<StandardSchemaV1<string, number>>().toExtend<StandardSchema<string, number>>();
  expectTypeOf<StandardSchema<string, number>>().toExtend<StandardSchemaV1<string, number>>();
  expectTypeOf<OutputOf<StandardSchema<string, number>>>().toEqualTypeOf<
    StandardSchemaV1.InferOutput<StandardSchemaV1<string, number>>
  >();
});

test("what the standard calls a description of itself is one for us", () => {
  type Ours = NonNullable<StandardSchema["~standard"]["jsonSchema"]>;
  expectTypeOf<StandardJSONSchemaV1.Converter>().toExtend<Ours>();
  expectTypeOf<Ours>().toExtend<StandardJSONSchemaV1.Converter>();
});

test("a zod schema is one, and its output is inferred", () => {
  const schema = z.object({ pr: z.coerce.number(), depth: z.enum(["a", "b"]).optional() });

  expectTypeOf(schema).toExtend<StandardSchema>();
  expectTypeOf<OutputOf<typeof schema>>().toEqualTypeOf<z.output<typeof schema>>();
});
