import type { Bufferable } from "./sink.ts";

/**
 * What waits for a sink, within a bound of characters. When it is full, debug goes first; then new entries are refused.
 * Both are counted until somebody has said so (`takeLost`). What entries have besides their text is left behind (`lean`)
 * once the bound is half reached, so that it takes no room from those that come later.
 */
export interface WaitingLines<Line extends Bufferable> {
  add(line: Line): void;
  /** The oldest entries, together no more than `mostCharacters` (but at least one, if there is any). */
  take(mostCharacters: number): readonly Line[];
  /** Puts back what could not be written, at the front. */
  putBack(lines: readonly Line[]): void;
  readonly isEmpty: boolean;
  /** What was dropped since the last call; undefined when nothing was, and while there is hardly room to say so. */
  takeLost(): LostLines | undefined;
  /** Gives up all that waits; what was dropped since the last `takeLost` counts. */
  abandon(): LostLines;
}

export interface LostLines {
  readonly lost: number;
  readonly lostDebug: number;
}

export function waitingLines<Line extends Bufferable>(
  mostCharacters: number,
  lean: (line: Line) => Line = (line) => line,
): WaitingLines<Line> {
  let lines: Line[] = [];
  // Entries before this index are already taken; shifting a long array for each batch would be quadratic.
  let first = 0;
  let characters = 0;
  let debugLines = 0;
  let lost = 0;
  let lostDebug = 0;

  const dropDebug = (): void => {
    lines = lines.slice(first).filter((line) => !line.isDebug);
    first = 0;
    characters = lines.reduce((sum, line) => sum + sizeOf(line), 0);
    lostDebug += debugLines;
    debugLines = 0;
  };
  return {
    add(whole) {
      const line = characters + sizeOf(whole) > mostCharacters / 2 ? lean(whole) : whole;
      const size = sizeOf(line);
      if (characters + size > mostCharacters) {
        if (!line.isDebug && debugLines > 0) dropDebug();
        if (characters + size > mostCharacters) {
          if (line.isDebug) lostDebug++;
          else lost++;
          return;
        }
      }
      lines.push(line);
      characters += size;
      if (line.isDebug) debugLines++;
    },
    take(most) {
      const taken: Line[] = [];
      let size = 0;
      for (let line = lines[first]; line !== undefined; line = lines[first]) {
        if (taken.length > 0 && size + sizeOf(line) > most) break;
        taken.push(line);
        size += sizeOf(line);
        if (line.isDebug) debugLines--;
        first++;
      }
      characters -= size;
      if (first === lines.length) {
        lines = [];
        first = 0;
      }
      return taken;
    },
    putBack(back) {
      lines = [...back, ...lines.slice(first)];
      first = 0;
      for (const line of back) {
        characters += sizeOf(line);
        if (line.isDebug) debugLines++;
      }
    },
    get isEmpty() {
      return first === lines.length;
    },
    abandon() {
      const counts = { lost: lost + lines.length - first - debugLines, lostDebug: lostDebug + debugLines };
      lines = [];
      first = characters = debugLines = lost = lostDebug = 0;
      return counts;
    },
    takeLost() {
      if (lost + lostDebug === 0 || characters > mostCharacters / 2) return undefined;
      const counts = { lost, lostDebug };
      lost = lostDebug = 0;
      return counts;
    },
  };
}

function sizeOf({ text, besides = 0 }: Bufferable): number {
  return text.length + besides;
}
