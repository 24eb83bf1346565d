/**
 * Builds the program that is installed into `dist/`: the modules of `src/` put together into fewer files, for each process of
 * a split server reads all that it needs at its start, and hundreds of small modules cost more CPU than their code
 * (docs/decisions/0038). What is loaded by its address is an entry and keeps its place (`dist/process/split/worker-main.js`); what
 * entries share is in `dist/chunks/`, once, so that hooks and settings in code get the very modules that the server runs.
 *   --javascript   only that, into the folder as it is: servers of tests may be running from it
 * Else the folder is emptied first, and the compiler looks at types and adds the declarations.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { rolldown, type OutputAsset, type OutputChunk } from "rolldown";
import { planChunks, type ChunkPlan } from "./chunks.ts";
import { entries } from "./entries.ts";
import { scriptArguments } from "./script-arguments.ts";

const ROOT = resolve(import.meta.dirname, "..");
const DIST = join(ROOT, "dist");
/** Packages that nearly every process loads, and that are many small modules themselves. All others stay packages. */
const INSIDE = ["zod", "yaml"];

/** Before all that the plan says: more than there are programs and threads. */
const OURS_FIRST = 1000;

const { values } = scriptArguments({ options: { javascript: { type: "boolean", default: false } } });

type Output = readonly (OutputChunk | OutputAsset)[];

async function javascript(): Promise<Output> {
  const plan = planChunks(await bundled([]), (name) => join(ROOT, "src", `${name}.ts`));
  return bundled(plan);
}

async function bundled(plan: readonly ChunkPlan[]): Promise<Output> {
  const bundle = await rolldown({
    cwd: ROOT,
    input: Object.fromEntries(entries.map((name) => [name, join(ROOT, "src", `${name}.ts`)])),
    platform: "node",
    // Its `paths` are for the compiler: here `posthorn` stays what a module's author writes.
    tsconfig: false,
    external: (id) => !/^[./]/.test(id) && !INSIDE.some((name) => id === name || id.startsWith(`${name}/`)),
  });
  const { output } = await bundle.generate({
    dir: DIST,
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: "chunks/[name].js",
    sourcemap: true,
    sourcemapExcludeSources: true,
    // Each process reads past them at each start; the sources keep them.
    comments: false,
    codeSplitting: {
      groups: [
        // It asks where it stands: see there.
        { name: "own-module", test: /src\/foundation\/own-module\.ts$/, priority: OURS_FIRST },
        ...INSIDE.map((name) => ({ name, test: new RegExp(`/node_modules/${name}/`), priority: OURS_FIRST })),
        // A group takes what its modules import along, which is loaded by as many at least: those go first.
        ...plan.map(({ name, modules, loaders }) => ({
          name,
          test: (id: string) => modules.has(id),
          priority: loaders,
        })),
      ],
    },
  });
  await bundle.close();
  return output;
}

/** What was built without its promises being kept would fail at a user's. */
function check(output: Output): void {
  const files = new Set(output.map((file) => file.fileName));
  const missing = ["chunks/own-module.js", ...entries.map((name) => `${name}.js`)].filter((name) => !files.has(name));
  if (missing.length > 0) throw new Error(`the build made no ${missing.join(", ")}`);
  for (const file of output) {
    // The bundler's own asks for Node's modules only, which are the same from everywhere.
    if (file.type !== "chunk" || ["chunks/own-module.js", "chunks/rolldown-runtime.js"].includes(file.fileName))
      continue;
    const asks = /import\.meta\.(?:dirname|filename|url)(?!\)\("koffi"\))/.exec(file.code);
    if (asks !== null)
      throw new Error(`${file.fileName} asks ${asks[0]}, which tells the chunk's place: take ownModule()`);
  }
}

/** The licences of what was put inside, which ask to be kept with it. */
function licences(output: Output): string {
  const modules = output.flatMap((file) => (file.type === "chunk" ? file.moduleIds : []));
  const folders = modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(id)?.[0] ?? []);
  const parts = [...new Set(folders)].sort().map((folder) => {
    const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { name: string; version: string };
    return `${about.name} ${about.version}\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}\n`;
  });
  return `Within the files of this folder are parts of these packages.\n\n${parts.join("\n\n")}`;
}

/** A file that is the same already stays, and one that is not changes at once: others may be reading it. */
function put(name: string, content: string | Uint8Array): void {
  const file = join(DIST, name);
  if (readIfThere(file)?.equals(Buffer.from(content)) === true) return;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.${process.pid}`, content);
  renameSync(`${file}.${process.pid}`, file);
}

function readIfThere(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}

const output = await javascript();
check(output);
if (!values.javascript) rmSync(DIST, { recursive: true, force: true });
for (const file of output) put(file.fileName, file.type === "chunk" ? file.code : file.source);
put("THIRD-PARTY.txt", licences(output));
if (!values.javascript) {
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const declared = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: ROOT, stdio: "inherit" });
  process.exitCode = declared.status ?? 1;
}
