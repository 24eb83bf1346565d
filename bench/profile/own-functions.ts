import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import type { OwnFunctionOf } from "./allocations.ts";
import { areaOf, sourceFinder } from "./places.ts";

/** Names a function of ours by its source and its name; one without a name by its line there. */
export function ownFunctionFinder(root: string): OwnFunctionOf {
  const sourceOf = sourceFinder(root);
  const maps = new Map<string, SourceMap>();
  const lineOf = (file: string, line: number, column: number): number | undefined => {
    let map = maps.get(file);
    if (map === undefined) {
      map = new SourceMap(JSON.parse(readFileSync(`${file}.map`, "utf8")));
      maps.set(file, map);
    }
    const entry = map.findEntry(line, column);
    return "originalLine" in entry ? entry.originalLine + 1 : undefined;
  };
  return ({ functionName, url, lineNumber, columnNumber }) => {
    const file = url.replace(/^file:\/\//, "");
    const source = sourceOf(file, lineNumber + 1);
    if (source === undefined) return undefined;
    const short = source.replace(/^(?:src|node_modules)\//, "");
    const name =
      functionName === ""
        ? `${short}:${lineOf(file, lineNumber, columnNumber) ?? "?"}, without a name`
        : `${short} ${functionName}`;
    return { area: areaOf(source), name };
  };
}
