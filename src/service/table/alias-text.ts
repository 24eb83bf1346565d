import { formatAliasTarget, parseAliasTargets } from "../../protocol/address/alias-targets.ts";
import { logicalLines } from "./logical-lines.ts";
import type { TableText } from "./text.ts";

/**
 * The text of a file like /etc/aliases: `name: target, target`. Lines that begin with white space continue the one before;
 * lines that begin with `#` are comments, wherever they stand. A name with spaces or a colon in it is quoted. Names may also
 * be whole addresses or `@domain`. Values come out in one form: targets in their shortest writing, with ", " between.
 */
export function parseAliasText(text: string): TableText {
  const { lines, problems: broken } = logicalLines(text);
  const entries: { line: number; key: string; value: string }[] = [];
  const problems: { line: number; text: string }[] = [...broken];
  for (const { line, text: content } of lines) {
    const found = /^(?:"((?:[^"\\]|\\.)+)"|([^\s:"]+|"(?:[^"\\]|\\.)+"@[^\s:]+))\s*:\s*(.*)$/s.exec(content);
    if (found === null) {
      problems.push({ line, text: "expected a name, a colon and where its mail goes" });
      continue;
    }
    const key = found[2] ?? (found[1] ?? "").replace(/\\(.)/g, "$1");
    const { targets, problems: wrong } = parseAliasTargets(found[3] ?? "");
    for (const problem of wrong) problems.push({ line, text: `${key}: ${problem.text}` });
    if (wrong.length > 0) continue;
    if (targets.length === 0)
      problems.push({ line, text: `${key}: goes nowhere; mail is thrown away with :blackhole:` });
    else entries.push({ line, key, value: targets.map(formatAliasTarget).join(", ") });
  }
  return { entries, problems: problems.sort((a, b) => a.line - b.line) };
}
