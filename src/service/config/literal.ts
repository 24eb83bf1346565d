import type { Place } from "./config.ts";

/** Where the parts of an object literal stand in code. */
export interface LiteralPlaces {
  readonly place: Place;
  readonly parts: ReadonlyMap<string | number, LiteralPlaces>;
}

/**
 * The places of the names in `export default { … }` or `export default defineConfig({ … })`. It reads literals only: what
 * code computes has no place of its own, and undefined is returned where the export is no literal. Never throws.
 */
export function literalPlaces(source: string): LiteralPlaces | undefined {
  const lineStarts = [0];
  for (let at = source.indexOf("\n"); at >= 0; at = source.indexOf("\n", at + 1)) lineStarts.push(at + 1);
  const placeAt = (at: number): Place => {
    let low = 0;
    let high = lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((lineStarts[middle] ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: at - (lineStarts[low] ?? 0) + 1 };
  };

  let at = 0;
  const skipSpace = (): void => {
    for (;;) {
      const space = matchAt(/\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\//y, source, at);
      if (space === undefined) return;
      at += space.length;
    }
  };
  /** To the `,` or the bracket that ends this value; over strings, templates, comments and nested brackets. */
  const skipValue = (): void => {
    let depth = 0;
    let before = "(";
    while (at < source.length) {
      skipSpace();
      const character = source.charAt(at);
      if (depth === 0 && /[,\])}]/.test(character)) return;
      if (character === '"' || character === "'") at += matchAt(STRING, source, at)?.length ?? 1;
      else if (character === "`") skipTemplate();
      else if (character === "/" && /[(,=:[!&|?{};]/.test(before))
        at += matchAt(/\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y, source, at)?.length ?? 1;
      else {
        if (/[([{]/.test(character)) depth++;
        if (/[)\]}]/.test(character)) depth--;
        at++;
      }
      before = character;
    }
  };
  const skipTemplate = (): void => {
    at++;
    while (at < source.length && source.charAt(at) !== "`") {
      if (source.charAt(at) === "\\") at += 2;
      else if (source.startsWith("${", at)) {
        at += 2;
        // A `}` ends the substitution; commas in it do not.
        while (at < source.length) {
          skipValue();
          if (source.charAt(at) !== ",") break;
          at++;
        }
        at++;
      } else at++;
    }
    at++;
  };
  const value = (place: Place, depth: number): LiteralPlaces => {
    const parts = new Map<string | number, LiteralPlaces>();
    const opener = source.charAt(at);
    if (depth < 50 && (opener === "{" || opener === "[")) {
      at++;
      if (opener === "{") members(parts, depth);
      else elements(parts, depth);
      at++;
    }
    // What follows (`as const`, a method call) belongs to the value still.
    skipValue();
    return { place, parts };
  };
  const members = (parts: Map<string | number, LiteralPlaces>, depth: number): void => {
    for (skipSpace(); at < source.length && source.charAt(at) !== "}"; skipSpace()) {
      const start = at;
      const written = matchAt(NAME, source, at);
      if (written !== undefined) {
        at += written.length;
        skipSpace();
        const name = /^["']/.test(written) ? written.slice(1, -1) : written;
        if (source.charAt(at) === ":") {
          at++;
          skipSpace();
          parts.set(name, value(placeAt(start), depth + 1));
        } else if (/[,}]/.test(source.charAt(at))) parts.set(name, { place: placeAt(start), parts: new Map() });
      }
      skipValue();
      // Of a spread, a method, or code we do not understand only the end matters.
      if (source.charAt(at) === "," || at === start) at++;
      else if (source.charAt(at) !== "}") return;
    }
  };
  const elements = (parts: Map<string | number, LiteralPlaces>, depth: number): void => {
    let index = 0;
    for (skipSpace(); at < source.length && source.charAt(at) !== "]"; skipSpace()) {
      // Behind a spread nobody knows the positions.
      if (source.startsWith("...", at)) index = Number.NaN;
      const part = value(placeAt(at), depth + 1);
      if (!Number.isNaN(index)) parts.set(index++, part);
      if (source.charAt(at) === ",") at++;
      else if (source.charAt(at) !== "]") return;
    }
  };

  const start = /^[ \t]*export\s+default\s+(?:defineConfig\s*\(\s*)?(?=\{)/m.exec(source);
  if (start === null) return undefined;
  at = start.index + start[0].length;
  return value(placeAt(at), 0);
}

const STRING = /"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*'/y;
const NAME = /[A-Za-z_$][\w$]*|\d+|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y;

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}
