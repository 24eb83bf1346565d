/**
 * Which way imports point: the table of ARCHITECTURE.md as data, checked on every change. Type-only imports count.
 * `node tools/check-layers.ts` reports each import that points the wrong way, and what processes read at their start although they
 * do without it, and fails when the diagram of imports that ARCHITECTURE.md carries is out of date; `--write` brings that one up to
 * date, `--diagram` prints it.
 */
import { readFileSync, globSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { parseSync } from "oxc-parser";

const ROOT = resolve(import.meta.dirname, "..");

interface Layer {
  /** Folder (with a final slash) or file, below src/. The longest match is a file's layer. */
  readonly place: string;
  readonly may: readonly string[];
}

const PROTOCOL = "protocol/";
const SERVICE = "service/";
const RINGS_BELOW_MAIL = ["foundation/", PROTOCOL, SERVICE];

const LAYERS: readonly Layer[] = [
  { place: "foundation/", may: [] },
  { place: "protocol/", may: ["foundation/", "protocol/address/", "protocol/dns/", "protocol/message/"] },
  { place: "service/config/", may: ["foundation/", PROTOCOL, "service/table/"] },
  { place: "service/acme/", may: ["foundation/", PROTOCOL, "service/config/", "service/table/", "service/tls/"] },
  { place: "service/", may: ["foundation/", PROTOCOL, "service/config/", "service/table/"] },
  { place: "mail/envelope/", may: RINGS_BELOW_MAIL },
  { place: "mail/filter/", may: [...RINGS_BELOW_MAIL, "mail/envelope/"] },
  { place: "mail/queue/", may: [...RINGS_BELOW_MAIL, "mail/envelope/"] },
  { place: "mail/session/", may: [...RINGS_BELOW_MAIL, "mail/envelope/", "mail/filter/", "mail/queue/"] },
  { place: "mail/connection/", may: [...RINGS_BELOW_MAIL, "mail/envelope/", "mail/filter/", "mail/session/"] },
  { place: "mail/route/", may: [...RINGS_BELOW_MAIL, "mail/envelope/"] },
  { place: "mail/delivery/", may: [...RINGS_BELOW_MAIL, "mail/envelope/", "mail/route/", "mail/queue/"] },
  {
    place: "mail/scheduler/",
    may: [...RINGS_BELOW_MAIL, "mail/envelope/", "mail/queue/", "mail/route/", "mail/delivery/"],
  },
  { place: "mail/log/", may: [...RINGS_BELOW_MAIL, "mail/*/events.ts", "mail/*/*/events.ts", "mail/envelope/"] },
  { place: "simulator/", may: [...RINGS_BELOW_MAIL, "mail/"] },
  { place: "admin/control/", may: [...RINGS_BELOW_MAIL, "mail/"] },
  { place: "admin/cli/", may: [...RINGS_BELOW_MAIL, "mail/", "admin/control/", "simulator/"] },
  { place: "process/", may: [...RINGS_BELOW_MAIL, "mail/", "simulator/", "admin/"] },
  { place: "main.ts", may: [...RINGS_BELOW_MAIL, "mail/", "simulator/", "admin/", "process/"] },
  { place: "testing/", may: [""] },
];

/**
 * What each process may not read at its start, because its role does without: every one of them reads its code anew, and it is the
 * time of a start (docs/decisions/0038). What a module loads with `import()` when it needs it does not count.
 */
const STARTS: readonly { readonly entry: string; readonly never: readonly string[] }[] = [
  { entry: "process/split/worker-log.ts", never: ["zod", "mail/session/session.ts", "mail/scheduler/scheduler.ts"] },
  {
    entry: "process/split/worker-keeper.ts",
    never: ["zod", "mail/session/session.ts", "mail/scheduler/", "mail/filter/chain.ts"],
  },
  { entry: "process/split/worker-lookup.ts", never: ["zod", "mail/session/session.ts", "mail/scheduler/"] },
  {
    entry: "process/split/worker-egress.ts",
    never: ["zod", "mail/session/session.ts", "mail/scheduler/scheduler.ts", "mail/filter/chain.ts"],
  },
  {
    entry: "process/split/worker-scheduler.ts",
    never: ["zod", "mail/session/session.ts", "mail/filter/chain.ts", "mail/delivery/smtp/connector.io.ts"],
  },
  {
    entry: "process/split/worker-ingress.ts",
    never: ["zod", "mail/scheduler/scheduler.ts", "mail/delivery/smtp/connector.io.ts", "process/settings/settings.ts"],
  },
  {
    entry: "process/daemon.ts",
    never: ["process/single.ts", "mail/session/session.ts", "mail/scheduler/scheduler.ts"],
  },
  {
    entry: "process/cli-world.ts",
    never: ["process/settings/settings.ts", "mail/scheduler/scheduler.ts", "admin/control/serve-client.io.ts"],
  },
];

/** Effects live in `.io.ts`; a pure file may use these of Node's modules, which touch nothing. */
const PURE_NODE_MODULES = new Set([
  "node:net",
  "node:url",
  "node:crypto",
  "node:buffer",
  "node:path",
  "node:util",
  "node:string_decoder",
]);
const RINGS_WITHOUT_PURITY = ["main.ts", "process/", "testing/", "simulator/"];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly line: number;
  readonly isTypeOnly: boolean;
  /** `import()`: when it is needed. */
  readonly isLater: boolean;
}

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(join(ROOT, "src", file), "utf8");
  const parsed = parseSync(file, text);
  const found: Import[] = [];
  const add = (to: string, start: number, isTypeOnly: boolean, isLater = false): void => {
    found.push({ from: file, to, line: text.slice(0, start).split("\n").length, isTypeOnly, isLater });
  };
  for (const statement of parsed.module.staticImports) {
    const entries = statement.entries;
    add(statement.moduleRequest.value, statement.start, entries.length > 0 && entries.every((entry) => entry.isType));
  }
  for (const statement of parsed.module.staticExports) {
    for (const entry of statement.entries) {
      if (entry.moduleRequest !== null) add(entry.moduleRequest.value, statement.start, entry.isType);
    }
  }
  for (const statement of parsed.module.dynamicImports) {
    const literal = /^["'`](.*)["'`]$/.exec(text.slice(statement.moduleRequest.start, statement.moduleRequest.end));
    if (literal?.[1] !== undefined) add(literal[1], statement.start, false, true);
  }
  return found;
}

function layerOf(file: string): Layer | undefined {
  return LAYERS.filter(
    (layer) => file === layer.place || (layer.place.endsWith("/") && file.startsWith(layer.place)),
  ).sort((a, b) => b.place.length - a.place.length)[0];
}

/** A file sees its own folder (all of its stage inside mail/, its own package inside protocol/ and service/). */
function homeOf(file: string): string {
  const parts = file.split("/");
  const depth = ["protocol", "service", "mail", "admin"].includes(parts[0] ?? "") ? 2 : 1;
  return parts.length > depth ? `${parts.slice(0, depth).join("/")}/` : file;
}

function isAllowed(pattern: string, target: string): boolean {
  if (pattern.includes("*"))
    return new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", "[^/]+")}$`).test(target);
  return target.startsWith(pattern);
}

function problemsOf(file: string): readonly string[] {
  const layer = layerOf(file);
  if (layer === undefined) return [`src/${file}: stands in no layer of tools/check-layers.ts`];
  const isTest = file.endsWith(".test.ts") || file.endsWith(".suite.ts");
  const isPure = !file.endsWith(".io.ts") && !isTest && !RINGS_WITHOUT_PURITY.some((ring) => file.startsWith(ring));
  const problems: string[] = [];
  for (const found of importsOf(file)) {
    const where = `src/${file}:${found.line}`;
    if (found.to.startsWith("node:")) {
      if (isPure && !found.isTypeOnly && !PURE_NODE_MODULES.has(found.to)) {
        problems.push(`${where}: a pure file imports ${found.to}; move the effect to an .io.ts file`);
      }
      continue;
    }
    if (!found.to.startsWith(".")) continue;
    const target = relative(join(ROOT, "src"), resolve(ROOT, "src", dirname(file), found.to));
    if (isPure && target.endsWith(".io.ts")) problems.push(`${where}: a pure file imports ${target}`);
    if (target.startsWith(homeOf(file))) continue;
    if (
      isTest &&
      (target.startsWith("simulator/") || target.startsWith("testing/") || target.startsWith("../test/peers"))
    )
      continue;
    if (target.startsWith("testing/") && layer.place !== "testing/")
      problems.push(`${where}: only tests import testing/`);
    else if (!layer.may.some((pattern) => isAllowed(pattern, target))) {
      problems.push(`${where}: ${layer.place} may not import ${target}`);
    }
  }
  return problems;
}

/** What an entry reads at its start that it may not, and by which way. */
function startProblems({ entry, never }: (typeof STARTS)[number]): readonly string[] {
  const ways = new Map([[entry, entry]]);
  const problems: string[] = [];
  for (const [file, way] of ways) {
    for (const { to, isTypeOnly, isLater } of importsOf(file)) {
      if (isTypeOnly || isLater || to.startsWith("node:")) continue;
      const target = to.startsWith(".") ? relative(join(ROOT, "src"), resolve(ROOT, "src", dirname(file), to)) : to;
      if (ways.has(target)) continue;
      if (never.some((one) => target === one || (one.endsWith("/") && target.startsWith(one))))
        problems.push(`src/${entry} reads ${target} at its start: ${way} → ${target}`);
      else if (to.startsWith(".")) ways.set(target, `${way} → ${target}`);
    }
  }
  return problems;
}

function diagram(files: readonly string[]): string {
  const arrows = new Map<string, Set<string>>();
  for (const file of files.filter((name) => !name.endsWith(".test.ts") && !name.endsWith(".suite.ts"))) {
    const home = homeOf(file).replace(/\/$/, "");
    for (const found of importsOf(file)) {
      if (!found.to.startsWith(".")) continue;
      const target = homeOf(relative(join(ROOT, "src"), resolve(ROOT, "src", dirname(file), found.to))).replace(
        /\/$/,
        "",
      );
      if (target !== home && !target.startsWith("foundation")) {
        arrows.set(home, (arrows.get(home) ?? new Set()).add(target));
      }
    }
  }
  return [...arrows]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([from, to]) => `${from} → ${[...to].sort().join(", ")}`)
    .join("\n");
}

const ARCHITECTURE = join(ROOT, "ARCHITECTURE.md");
/** Behind this line of ARCHITECTURE.md stands the diagram, as a block of code. */
const MARK = "<!-- What follows is written by `node tools/check-layers.ts --write`. -->";

function withDiagram(page: string, arrows: string): string {
  const [before = "", after] = page.split(MARK);
  if (after === undefined) throw new Error(`ARCHITECTURE.md has no line ${MARK}`);
  return `${before}${MARK}\n\n\`\`\`text\n${arrows}\n\`\`\`\n${after.replace(/^\s*```text\n[^]*?\n```\n/, "")}`;
}

const files = globSync("**/*.ts", { cwd: join(ROOT, "src") }).sort();
const architecture = readFileSync(ARCHITECTURE, "utf8");
if (process.argv.includes("--diagram")) {
  process.stdout.write(`${diagram(files)}\n`);
} else if (process.argv.includes("--write")) {
  writeFileSync(ARCHITECTURE, withDiagram(architecture, diagram(files)));
} else {
  const problems = [...files.flatMap(problemsOf), ...STARTS.flatMap(startProblems)];
  if (withDiagram(architecture, diagram(files)) !== architecture) {
    problems.push("ARCHITECTURE.md: its diagram of imports is out of date: run node tools/check-layers.ts --write");
  }
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  process.stdout.write(`layers: ${files.length} files, ${problems.length} problems\n`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
