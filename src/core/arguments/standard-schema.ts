/**
 * Standard Schema and Standard JSON Schema, version 1, as published at https://standardschema.dev: the shape
 * that zod, valibot, ArkType and others share. Types only, declared here so that core needs no library; a test
 * holds them against the published ones.
 */

/** A schema of any library. `jsonSchema` is there where the library can describe itself (zod from 4.2 on). */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": StandardProperties<Input, Output>;
}

export interface StandardProperties<Input = unknown, Output = Input> {
  readonly version: 1;
  /** The library's name. */
  readonly vendor: string;
  readonly validate: (
    value: unknown,
    options?: StandardOptions | undefined,
  ) => StandardResult<Output> | Promise<StandardResult<Output>>;
  readonly jsonSchema?: StandardJsonSchema | undefined;
  /** For inference alone; not there at run time. */
  readonly types?: { readonly input: Input; readonly output: Output } | undefined;
}

export interface StandardOptions {
  /** What only one library understands. */
  readonly libraryOptions?: Record<string, unknown> | undefined;
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Describes the schema's input and output as JSON Schema; may throw where it cannot. */
export interface StandardJsonSchema {
  readonly input: (options: StandardJsonSchemaOptions) => Record<string, unknown>;
  readonly output: (options: StandardJsonSchemaOptions) => Record<string, unknown>;
}

export interface StandardJsonSchemaOptions extends StandardOptions {
  readonly target: "draft-2020-12" | "draft-07" | "openapi-3.0" | ({} & string);
}

/** What a schema gives for a value that it accepts. */
export type OutputOf<Schema extends StandardSchema> = NonNullable<Schema["~standard"]["types"]>["output"];
