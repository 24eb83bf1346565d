/**
 * Completes package-lock.json after `npm install` from a registry that does not serve every platform's packages: npm then
 * leaves optional packages of other platforms out of the lock, and `npm ci` refuses the lock. Each such package is pinned
 * by its parent to one exact version, and its name says its platform, so its entry can be written without asking anybody.
 * A machine of that platform gets its content by npm's own integrity check of the registry.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

interface LockEntry {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

const SYSTEMS = ["android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const PROCESSORS: Readonly<Record<string, string>> = {
  arm: "arm",
  arm64: "arm64",
  ia32: "ia32",
  loong64: "loong64",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
  // A processor of no system: what is compiled for it runs within Node.
  wasm32: "wasm32",
  x64: "x64",
};

const file = join(resolve(import.meta.dirname, ".."), "package-lock.json");
const lock = JSON.parse(readFileSync(file, "utf8")) as { packages: Record<string, LockEntry> };
let added = 0;
/** Where Node would find a package from another one's place, when it is the version wanted. */
function isThere(from: string, name: string, version: string): boolean {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("node_modules/") - 1))) {
    const found = lock.packages[folder === "" ? `node_modules/${name}` : `${folder}/node_modules/${name}`];
    if (found !== undefined || folder === "") return found?.version === version;
  }
}

for (const [from, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (!/^\d+\.\d+\.\d+$/.test(version) || isThere(from, name, version)) continue;
    const isTaken = lock.packages[`node_modules/${name}`] !== undefined;
    const place = isTaken && from !== "" ? `${from}/node_modules/${name}` : `node_modules/${name}`;
    const words = name.split(/[/-]/);
    const os = words.find((word) => SYSTEMS.includes(word));
    const cpu = words.map((word) => PROCESSORS[word]).find((word) => word !== undefined);
    if (cpu === undefined || (os === undefined && cpu !== "wasm32")) {
      process.stderr.write(`${name}: its name does not say its platform\n`);
      process.exitCode = 1;
      continue;
    }
    const libc = words.some((word) => word.startsWith("musl"))
      ? ["musl"]
      : words.some((word) => word.startsWith("gnu"))
        ? ["glibc"]
        : undefined;
    lock.packages[place] = {
      version,
      cpu: [cpu],
      ...(entry.dev === true ? { dev: true } : {}),
      ...(libc === undefined || os !== "linux" ? {} : { libc }),
      optional: true,
      ...(os === undefined ? {} : { os: [os] }),
    };
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, "en")));
writeFileSync(file, `${JSON.stringify(lock, undefined, 2)}\n`);
process.stdout.write(`package-lock.json: ${added} packages of other platforms added\n`);
