/** The scheduler as the configuration has it; it runs beside the loop of `robson agent`. */
import type { Config } from "../config/load-config.ts";
import { systemClock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import { createScheduler, type Scheduler } from "../plugins/scheduler/index.ts";
import { pendingTasksSchedule } from "../plugins/scheduler/pending-tasks.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { partLog } from "./log.ts";

/** How many pending tasks are begun at one look. */
const MAX_PENDING_TASKS = 100;

/** Rejects nothing later: what is wrong with a schedule is refused here. */
export function configuredScheduler(options: { store: OpenedStore; config: Config; log: Logger }): Scheduler {
  const { store, config, log } = options;
  const every = config.workflow.runPendingEverySeconds;
  const pendingTasks = () => store.tasks.list({ status: "pending", limit: MAX_PENDING_TASKS });
  return createScheduler({
    schedules: [
      ...config.schedules,
      ...(every === undefined ? [] : [pendingTasksSchedule({ every, pendingTasks })]),
    ],
    store,
    hasKeyPrefix: (prefix) => store.operator.hasKeyPrefix(prefix),
    clock: systemClock,
    random: Math.random,
    log: partLog(log, "scheduler"),
  });
}
