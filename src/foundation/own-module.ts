import { extname } from "node:path";

/**
 * Where the program's own files are. Only this module may ask `import.meta` for it: the build puts modules together into
 * `dist/chunks/`, and what is asked there tells the place of the chunk. This one stands one folder below both `src/` and
 * `dist/`, so the same way leads up from the source and from the chunk; `tools/build.ts` holds it there.
 */
const TOP = new URL("../", import.meta.url);
const EXTENSION = extname(import.meta.url);

/** The folder with package.json, above `src/` and `dist/`. */
export const ownRoot = new URL("../", TOP);

/** A module that is loaded by its address, named from `src/` on and without extension: an entry of the build. */
export function ownModule(name: string): URL {
  return new URL(`${name}${EXTENSION}`, TOP);
}
