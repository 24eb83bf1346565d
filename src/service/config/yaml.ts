import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Node } from "yaml";
import type { Place, SettingsProblem } from "./config.ts";
import type { SourceEntry, SourceNode } from "./source.ts";

/** Aliases let a few lines name billions of nodes; no settings file of a person comes near this. */
const MOST_NODES = 200_000;

/** Reads `posthorn.yaml`. The tree is undefined when the text is no YAML: then there is at least one problem. */
export function readYaml(
  text: string,
  file: string,
): { readonly root: SourceNode | undefined; readonly problems: readonly SettingsProblem[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: "error",
    version: "1.2",
  });
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const problems: SettingsProblem[] = [];
  const tell = (place: Place, path: string, words: string): void => {
    problems.push({ file, place, path, text: words, severity: "error" });
  };
  let isLost = false;
  for (const error of document.errors) {
    const place = placeOf(error.pos[0]);
    // Behind a bracket or text that it did not expect the parser finds nothing where it should be.
    if (isLost && error.code === "UNEXPECTED_TOKEN") continue;
    isLost ||= error.code === "UNEXPECTED_TOKEN";
    // One mistake makes the parser stumble several times: the first of each line says it, and a few are enough.
    if (problems.length < 5 && problems.every((told) => told.place?.line !== place.line))
      tell(place, "", syntaxWords(error.code, error.message, text, error.pos[0]));
  }
  if (problems.length > 0) return { root: undefined, problems };

  let count = 0;
  const toNode = (node: Node | null, path: string, fallback: Place, open: ReadonlySet<Node>): SourceNode => {
    const place = node?.range ? placeOf(node.range[0]) : fallback;
    if (++count > MOST_NODES) {
      if (count === MOST_NODES + 1) tell(place, path, "more than 200,000 values: aliases (*) repeat too much here");
      return { kind: "scalar", value: null, place };
    }
    if (node === null) return { kind: "scalar", value: null, place };
    if (isAlias(node)) {
      const target = node.resolve(document);
      // `*.example.org` is an alias to the parser and a wildcard to people; no anchor of ours begins with a dot.
      if (target === undefined && node.source.startsWith("."))
        return { kind: "scalar", value: `*${node.source}`, place };
      if (target === undefined || open.has(target)) {
        tell(
          place,
          path,
          target === undefined
            ? `*${node.source} names no anchor (&${node.source}) above it`
            : `*${node.source} stands within itself`,
        );
        return { kind: "scalar", value: null, place };
      }
      return { ...toNode(target, path, place, new Set([...open, target])), place };
    }
    if (isMap(node)) {
      const entries: SourceEntry[] = [];
      const inside = new Set([...open, node]);
      for (const pair of node.items) {
        const key = pair.key as Node | null; // parseDocument makes nodes of keys and values
        const at = key?.range ? placeOf(key.range[0]) : place;
        if (!isScalar(key) || key.value === null) {
          tell(at, path, "expected a name before the colon");
          continue;
        }
        const name = typeof key.value === "string" ? key.value : (key.source ?? "");
        const childPath = path === "" ? name : `${path}.${name}`;
        if (name === "<<" && key.type === "PLAIN") {
          tell(at, path, "YAML 1.2 has no merges (<<): write the names again, or compute them in posthorn.config.ts");
          continue;
        }
        const earlier = entries.find((entry) => entry.name === name);
        if (earlier !== undefined) {
          tell(at, childPath, `written twice; first on line ${earlier.place?.line ?? 0}`);
          continue;
        }
        entries.push({ name, place: at, node: toNode(pair.value as Node | null, childPath, at, inside) });
      }
      return { kind: "map", entries, place };
    }
    if (isSeq(node)) {
      const inside = new Set([...open, node]);
      const items = node.items.map((item, at) => toNode(item as Node | null, `${path}[${at}]`, place, inside));
      return { kind: "list", items, place };
    }
    if (!isScalar(node)) return { kind: "scalar", value: null, place };
    // `!local` is a YAML tag to the parser and a negation to people.
    const tag = node.tag;
    if (tag !== undefined && tag.startsWith("!")) {
      const rest = node.source ?? "";
      return { kind: "scalar", value: rest === "" ? tag : `${tag} ${rest}`, place };
    }
    const plain = node.type === "PLAIN" ? node.source : undefined;
    return { kind: "scalar", value: node.value, plain, place };
  };
  const root = toNode(document.contents, "", { line: 1, column: 1 }, new Set());
  return { root, problems };
}

/** The parser's words where they help; our own for what newcomers to YAML run into. */
function syntaxWords(code: string, message: string, text: string, offset: number): string {
  const line = text.slice(text.lastIndexOf("\n", offset - 1) + 1).split("\n", 1)[0] ?? "";
  switch (code) {
    case "TAB_AS_INDENT":
      return "a tab at the beginning of the line: YAML takes spaces only";
    case "BLOCK_AS_IMPLICIT_KEY":
      return "expected one `name: value` on a line, indented like its neighbours; text that holds a colon and a space needs quotes";
    case "MULTILINE_IMPLICIT_KEY":
      return /^\s*[\w-]+:\S/.test(line)
        ? "expected a space behind the colon: `name: value`"
        : "expected `name: value`, or `name:` with indented lines below it";
    case "BAD_INDENT":
      return /Flow (map|sequence)/.test(message)
        ? "a bracket opened above is not closed"
        : "not indented like its neighbours: lines of one block begin in the same column";
    case "MISSING_CHAR":
      return message.includes("quote") ? "a quote opened above is not closed" : message;
    case "MULTIPLE_DOCS":
      return "a second document (`---`): the settings are one";
    case "BAD_SCALAR_START":
      return `text that begins with ${text.charAt(offset)} needs quotes`;
    case "UNEXPECTED_TOKEN":
      return /^[{}[\]]/.test(text.slice(offset))
        ? `text with ${text.charAt(offset)} in it needs quotes here: "/home/{user}/Maildir"`
        : message.includes("at node end")
          ? "expected the end of the value here: text with quotes or brackets in it needs quotes around all of it"
          : lowered(message);
    default:
      return lowered(message);
  }
}

function lowered(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}
