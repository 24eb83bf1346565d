import { readFileSync } from "node:fs";

/** From package.json, which stands two folders above both the sources and what is emitted from them. */
export const version: string = versionIn(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

function versionIn(text: string): string {
  const data: unknown = JSON.parse(text);
  return typeof data === "object" && data !== null && "version" in data ? String(data.version) : "unknown";
}
