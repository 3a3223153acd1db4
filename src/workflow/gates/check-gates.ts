/**
 * All gates in their order: what a change may not take out of this machine, or not without a person's word. Called
 * with the staged change and every text that goes with it, before anything is pushed. Pure but for the time it takes:
 * the same request gives the same report, so a run may ask again after a crash.
 */
import { createHash } from "node:crypto";
import { replaceUnsafe } from "../../core/text.ts";
import { isAgentFile } from "../agent-files.ts";
import type { WorkflowLimits } from "../limits.ts";
import type { AddedBlock } from "./added-lines.ts";
import { EXECUTABLE_MODE, hasHiddenSigns, hasOddName, isOfGit, whyLinkLeadsOut } from "./file-kinds.ts";
import { matchesPath } from "./path-pattern.ts";
import {
  combineVerdicts,
  DEFAULT_GATE_POLICIES,
  GATE_DECISIONS,
  GATE_KEYS,
  type GateDecision,
  type GateName,
  type GatePolicies,
  type Verdict,
} from "./policy.ts";
import { isSecretFile } from "./secret-rules.ts";
import { type FoundSecret, findSecrets, withoutSecrets } from "./secrets.ts";
import type { ChangedFile, StagedChange } from "./staged-change.ts";
import { LOCK_FILES, PROTECTED_PATHS } from "./watched-paths.ts";

export interface GateRequest {
  change: StagedChange;
  /** What goes with the change, each as people call it: "the commit message", "the pull request", "the branch". */
  texts: { place: string; text: string }[];
  policies?: Partial<GatePolicies>;
  /** Protected besides `PROTECTED_PATHS`: the configuration's and those of the base's `.robson.toml`. */
  protectedPaths?: readonly string[];
  /** Values that must not leave, whatever they look like. */
  knownSecrets?: readonly string[];
  limits: Pick<
    WorkflowLimits,
    "maxChangedFiles" | "maxChangedLines" | "maxChangedBytes" | "maxChangedFileBytes"
  >;
  signal: AbortSignal;
}

/** Plain data, without any secret: a run stores it. */
export interface GateReport {
  decision: GateDecision;
  verdicts: Verdict[];
  /** Names this change with these texts and findings: a person's word for one report holds for no other. */
  fingerprint: string;
}

/** How many places one verdict names. */
const MAX_SHOWN_PLACES = 10;

export async function checkGates(request: GateRequest): Promise<GateReport> {
  const policies = { ...DEFAULT_GATE_POLICIES, ...request.policies };
  const secrets = await secretsOf(request);
  const found = [...secretFindings(request, secrets), ...pathFindings(request), ...sizeFindings(request)];
  const verdicts = found.map(({ gate, reason, hint, atMost = "refuse" }): Verdict => {
    const decision = lighter(policies[gate], atMost);
    // A path may carry a secret, too.
    return { gate, decision, reason: withoutSecrets(reason, secrets), hint: hint ?? hintFor(gate, decision) };
  });
  const told = JSON.stringify([request.change.tree, request.texts, verdicts]);
  const fingerprint = createHash("sha256").update(told).digest("hex").slice(0, 16);
  return { decision: combineVerdicts(verdicts), verdicts, fingerprint };
}

interface Finding {
  gate: GateName;
  reason: string;
  hint?: string;
  /** Where the finding is a guess, the policy's word counts up to here only. */
  atMost?: GateDecision;
}

function secretsOf({ change, texts, knownSecrets = [], signal }: GateRequest): Promise<FoundSecret[]> {
  const paths = change.files.map(({ path }) => path).join("\n");
  const searched = [
    ...change.files.map(({ path, added, isBinary }) => ({
      place: shownPath(path),
      path,
      blocks: isBinary ? added.map(withoutZeros) : added,
    })),
    ...[...texts, { place: "the name of a file", text: paths }].map(({ place, text }) => ({
      place,
      blocks: [{ line: 1, text }],
    })),
  ];
  return findSecrets(searched, { knownSecrets, signal });
}

/** In UTF-16 every second byte of a token is zero. */
function withoutZeros({ line, text }: AddedBlock): AddedBlock {
  return { line, text: text.replaceAll("\0", "") };
}

function secretFindings({ change }: GateRequest, secrets: FoundSecret[]): Finding[] {
  const findings: Finding[] = [];
  for (const certainty of ["sure", "likely"] as const) {
    const of = secrets.filter((secret) => secret.certainty === certainty);
    if (of.length === 0) continue;
    const places = listed(of.map(({ what, place, line }) => `${what} in ${place}, line ${line}`));
    if (certainty === "sure") findings.push({ gate: "secrets", reason: `Found ${places}` });
    else findings.push({ gate: "secrets", reason: `Found what may be a secret: ${places}`, atMost: "ask" });
  }
  const files = change.files.filter(({ kind, path }) => kind !== "deleted" && isSecretFile(path));
  if (files.length > 0) {
    const reason = `Files whose names say that they hold secrets: ${paths(files)}`;
    findings.push({ gate: "secrets", reason, atMost: "ask" });
  }
  const unread = change.files.filter(({ isRead }) => !isRead);
  if (unread.length > 0) {
    const reason = `Not searched for secrets, because they are too large or their names are no text: ${paths(unread)}`;
    findings.push({ gate: "secrets", reason, atMost: "ask" });
  }
  return findings;
}

function pathFindings({ change: { files }, protectedPaths = [] }: GateRequest): Finding[] {
  const watched = [...PROTECTED_PATHS, ...protectedPaths];
  const links = files.flatMap((file) => {
    const why = whyLinkLeadsOut(file);
    return why === undefined ? [] : [`${shownPath(file.path)} (${why})`];
  });
  const becameExecutable = (file: ChangedFile) =>
    file.mode === EXECUTABLE_MODE && file.oldMode !== EXECUTABLE_MODE;
  const groups: [GateName, string, ChangedFile[]][] = [
    ["protectedPaths", "Protected files", files.filter(({ path }) => matchesPath(watched, path))],
    [
      "agentFiles",
      "Files that coding agents take orders from",
      files.filter(({ path }) => isAgentFile(path)),
    ],
    ["lockFiles", "Lock files", files.filter(({ path }) => matchesPath(LOCK_FILES, path))],
    ["binaryFiles", "Files that are no text", files.filter(({ isBinary }) => isBinary)],
    ["executables", "Files that have become executable", files.filter(becameExecutable)],
    ["submodules", "Submodules, or what git keeps for itself", files.filter(isOfGit)],
    ["hiddenSigns", "Lines with signs that are not seen", files.filter(hasHiddenSigns)],
    ["oddNames", "Names with signs that are not seen or are no text", files.filter(hasOddName)],
  ];
  return [
    ...(links.length === 0 ? [] : [{ gate: "links" as const, reason: `Links: ${listed(links)}` }]),
    ...groups
      .filter(([, , of]) => of.length > 0)
      .map(([gate, what, of]) => ({ gate, reason: `${what}: ${paths(of)}` })),
  ];
}

function sizeFindings({ change: { files }, limits }: GateRequest): Finding[] {
  // Nobody reads the lines of a lock file; it has a gate of its own.
  const counted = files.filter(({ path }) => !matchesPath(LOCK_FILES, path));
  const lines = sum(counted.map(({ addedLines, removedLines }) => addedLines + removedLines));
  const bytes = sum(files.map((file) => file.bytes));
  const large = files.filter((file) => file.bytes > limits.maxChangedFileBytes);
  const found: [isOver: boolean, reason: string, limit: keyof GateRequest["limits"]][] = [
    [files.length > limits.maxChangedFiles, `The change touches ${files.length} files`, "maxChangedFiles"],
    [lines > limits.maxChangedLines, `The change adds and removes ${lines} lines`, "maxChangedLines"],
    [bytes > limits.maxChangedBytes, `The changed files have ${bytes} bytes`, "maxChangedBytes"],
    [large.length > 0, `Large files: ${paths(large)}`, "maxChangedFileBytes"],
  ];
  return found
    .filter(([isOver]) => isOver)
    .map(([, reason, limit]) => ({
      gate: "diffSize",
      reason: `${reason}; the limit is ${limit} (${limits[limit]})`,
      hint: `Split the task, or raise ${limit} under [workflow.limits]`,
    }));
}

function hintFor(gate: GateName, decision: GateDecision): string {
  const key = `${GATE_KEYS[gate]} under [gates] in robson.toml`;
  if (decision === "allow") return `Let through by ${key}`;
  if (gate === "secrets") {
    return "Have the secret come from the environment; where it was a real one, revoke it, because the agent has seen it";
  }
  return `Say in the task that this is not to be changed, or set ${key}`;
}

function lighter(one: GateDecision, other: GateDecision): GateDecision {
  return GATE_DECISIONS.indexOf(one) < GATE_DECISIONS.indexOf(other) ? one : other;
}

function paths(files: ChangedFile[]): string {
  return listed(files.map(({ path }) => shownPath(path)));
}

function listed(places: string[]): string {
  const shown = places.slice(0, MAX_SHOWN_PLACES).join(", ");
  const rest = places.length - MAX_SHOWN_PLACES;
  return rest > 0 ? `${shown} and ${rest} more` : shown;
}

const MAX_SHOWN_PATH = 200;

/** As code in Markdown, which nothing in the name can leave. A cut one might show half of a secret. */
function shownPath(path: string): string {
  if (path.length > MAX_SHOWN_PATH) return `(a path of ${path.length} characters)`;
  const plain = path.replace(/[`\n\t]/g, "?");
  return `\`${replaceUnsafe(plain, (sign) => `\\u{${sign.codePointAt(0)?.toString(16)}}`)}\``;
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
