/** Every engine by the name that the plan and the table use. */
import type { Engine, Surroundings } from "../engine.ts";
import { bullmq } from "./bullmq.ts";
import { dbos } from "./dbos.ts";
import { graphileWorker } from "./graphile-worker.ts";
import { modelPostgres } from "./model-postgres.ts";
import { modelSqlite } from "./model-sqlite.ts";
import { openworkflow } from "./openworkflow.ts";
import { original } from "./original.ts";
import { pgBoss } from "./pg-boss.ts";
import { plainjob } from "./plainjob.ts";
import { robsonOnPostgres, robsonOnSqlite } from "./robson.ts";

export const ENGINES = {
  "robson-sqlite": robsonOnSqlite,
  "robson-postgres": robsonOnPostgres,
  "model-sqlite": modelSqlite,
  "model-postgres": modelPostgres,
  original,
  plainjob,
  "graphile-worker": graphileWorker,
  "pg-boss": pgBoss,
  bullmq,
  dbos,
  openworkflow,
} satisfies Record<string, (surroundings: Surroundings) => Promise<Engine>>;

export type EngineName = keyof typeof ENGINES;
