import { readFileSync } from "node:fs";
import { ownRoot } from "../foundation/own-module.ts";

export const version: string = versionIn(readFileSync(new URL("package.json", ownRoot), "utf8"));

function versionIn(text: string): string {
  const data: unknown = JSON.parse(text);
  return typeof data === "object" && data !== null && "version" in data ? String(data.version) : "unknown";
}
