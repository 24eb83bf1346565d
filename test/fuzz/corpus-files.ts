import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { FuzzTarget } from "./fuzz-target.ts";

/**
 * What the repository keeps of a target: `corpus/NAME/findings.jsonl`, inputs that once broke something, and `paths.jsonl`, inputs that
 * together run all branches that fuzzing has reached. One input a line, a JSON string with one character a byte.
 */
export type CorpusPart = "findings" | "paths";

const HERE = import.meta.dirname;

export const TARGET_NAMES: readonly string[] = globSync("targets/*.ts", { cwd: HERE })
  .map((file) => basename(file, ".ts"))
  .sort();

export async function loadTarget(name: string): Promise<FuzzTarget> {
  const module = (await import(pathToFileURL(join(HERE, "targets", `${name}.ts`)).href)) as { target: FuzzTarget };
  return module.target;
}

export function readCorpus(name: string, part: CorpusPart): readonly Buffer[] {
  const path = pathOf(name, part);
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => Buffer.from(JSON.parse(line) as string, "latin1"));
}

export function writeCorpus(name: string, part: CorpusPart, inputs: readonly Buffer[]): void {
  mkdirSync(join(HERE, "corpus", name), { recursive: true });
  const lines = [...new Set(inputs.map(lineOf))].sort();
  writeFileSync(pathOf(name, part), lines.join(""));
}

/** What was found last is added, nothing of it is ever taken away by the program. */
export function addFinding(name: string, bytes: Buffer): string {
  writeCorpus(name, "findings", [...readCorpus(name, "findings"), bytes]);
  return pathOf(name, "findings");
}

function lineOf(bytes: Buffer): string {
  const text = JSON.stringify(bytes.toString("latin1"));
  // Plain ASCII in the file: no editor and no tool that shows changes finds controls or letters of a charset in it.
  const escaped = text.replace(/[\x7f-\xff]/g, (char) => `\\u00${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return `${escaped}\n`;
}

function pathOf(name: string, part: CorpusPart): string {
  return join(HERE, "corpus", name, `${part}.jsonl`);
}
