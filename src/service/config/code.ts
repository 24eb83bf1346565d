import type { SettingsProblem } from "./config.ts";
import type { LiteralPlaces } from "./literal.ts";
import type { SourceEntry, SourceNode } from "./source.ts";

/**
 * Code among settings (hooks) is marked with this by whoever made it. Settings are data, the same in every process: its place
 * stands there instead, `code:/etc/posthorn/posthorn.config.ts#/filters/mine/hooks`, and whoever runs it imports the file.
 */
const CODE = Symbol.for("posthorn.code");

/** Deeper than any schema: a value that contains itself ends here. */
const DEEPEST = 50;

/** What `posthorn.config.ts` exports, as a source tree; `places` are those of the literal, where the code has one. */
export function readCode(
  exported: unknown,
  file: string,
  places?: LiteralPlaces,
  /** Where the file is, for the places of code in it. */
  absolute: string = file,
): { readonly root: SourceNode | undefined; readonly problems: readonly SettingsProblem[] } {
  const problems: SettingsProblem[] = [];
  const toNode = (value: unknown, names: readonly (string | number)[], at: LiteralPlaces | undefined): SourceNode => {
    const place = at?.place;
    const depth = names.length;
    if (typeof value === "object" && value !== null && CODE in value)
      return { kind: "scalar", value: `code:${absolute}#/${names.map(encodeURIComponent).join("/")}`, place };
    if (Array.isArray(value) && depth < DEEPEST) {
      const items = value.map((item, index) => toNode(item, [...names, index], at?.parts.get(index)));
      return { kind: "list", items, place };
    }
    if (isPlainObject(value) && depth < DEEPEST) {
      const entries = Object.entries(value)
        // `undefined` says the same as leaving it out: that is what conditions in code make of a setting.
        .filter(([, part]) => part !== undefined)
        .map(([name, part]): SourceEntry => {
          const found = at?.parts.get(name);
          const node = toNode(part, [...names, name], found);
          return { name, place: found?.place, node };
        });
      return { kind: "map", entries, place };
    }
    const isData = value === null || ["string", "number", "boolean", "undefined"].includes(typeof value);
    if (!isData) {
      const text =
        depth >= DEEPEST
          ? "contains itself"
          : `is ${describe(value)}: settings are made of texts, numbers, lists and objects`;
      problems.push({ file, place, path: pathOf(names), text, severity: "error" });
    }
    return { kind: "scalar", value: isData ? value : undefined, place };
  };
  if (!isPlainObject(exported)) {
    const text =
      exported === undefined
        ? "has no default export; write `export default defineConfig({ … })`"
        : `exports ${describe(exported)}; expected \`export default defineConfig({ … })\``;
    return { root: undefined, problems: [{ file, path: "", text, severity: "error" }] };
  }
  const root = toNode(exported, [], places);
  return { root: problems.length > 0 ? undefined : root, problems };
}

/** `listeners[0].tls` */
function pathOf(names: readonly (string | number)[]): string {
  return names.map((name, at) => (typeof name === "number" ? `[${name}]` : at === 0 ? name : `.${name}`)).join("");
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function describe(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (value instanceof Promise) return "a promise (is an await missing?)";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? `an object of its own class` : `a ${typeof value}`;
}
