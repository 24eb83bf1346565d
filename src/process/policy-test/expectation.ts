import type { Expectation } from "./case.ts";
import type { Found } from "./trial.ts";

/** One thing that is not as it was expected to be. */
export interface Difference {
  /** In the words of the case: `verdict`, `header X-Spam`. */
  readonly what: string;
  readonly expected: string;
  readonly found: string;
}

/** All that differs; nothing where the trial came to what was expected. What the case does not speak of may be anything. */
export function differences(expected: Expectation, found: Found): readonly Difference[] {
  const list: Difference[] = [];
  const differ = (what: string, wanted: string, is: string): void =>
    void list.push({ what, expected: wanted, found: is });
  const same = (what: string, wanted: string | number | undefined, is: string | number | undefined): void => {
    if (wanted !== undefined && wanted !== is) differ(what, String(wanted), String(is ?? "none"));
  };
  const like = (what: string, wanted: string | undefined, is: string | undefined): void => {
    if (wanted !== undefined && (is === undefined || !matches(wanted, is))) differ(what, wanted, is ?? "none");
  };
  const all = (what: string, wanted: readonly string[] | undefined, is: readonly string[]): void => {
    const [a, b] = [sorted(wanted ?? []), sorted(is)];
    if (wanted !== undefined && a.join() !== b.join()) differ(what, listed(a), listed(b));
  };
  if (expected.verdict !== undefined && expected.verdict !== found.verdict)
    differ(
      "verdict",
      expected.verdict,
      `${found.verdict} at ${found.stage} (${found.text}${found.because === undefined ? "" : `; ${found.because}`})`,
    );
  same("stage", expected.stage, found.stage);
  same("code", expected.code, found.code);
  like("text", expected.text, found.text);
  if (expected.rule !== undefined && !isRule(expected.rule, found.rule))
    differ("rule", expected.rule, found.rule ?? "none");
  same("restriction", expected.restriction, found.restriction);
  like("because", expected.because, found.because);
  all("action", expected.action, [...new Set(found.envelopes.map(({ action }) => action))]);
  all(
    "recipients",
    expected.recipients,
    found.envelopes.map(({ recipient }) => recipient),
  );
  all(
    "refused",
    expected.refused,
    found.recipients.filter(({ isAccepted }) => !isAccepted).map(({ recipient }) => recipient),
  );
  if (expected.sender !== undefined)
    all("sender", [expected.sender.replace(/^<>$/, "")], [...new Set(found.envelopes.map(({ sender }) => sender))]);
  const valuesOf = (name: string): readonly string[] =>
    found.header.flatMap((field) => (field.name.toLowerCase() === name.toLowerCase() ? [field.value] : []));
  for (const [name, wanted] of Object.entries(expected.header ?? {})) {
    const values = valuesOf(name);
    if (!values.some((value) => matches(wanted, value))) differ(`header ${name}`, wanted, listed(values));
  }
  for (const name of expected.absent ?? []) {
    const values = valuesOf(name);
    if (values.length > 0) differ(`header ${name}`, "none", listed(values));
  }
  like("body", expected.body, found.body);
  const missing = (expected.tags ?? []).filter((tag) => !found.tags.includes(tag));
  if (missing.length > 0) differ("tags", listed(expected.tags ?? []), listed(found.tags));
  return list;
}

/** A part of the text, or a `/pattern/`. */
function matches(wanted: string, text: string): boolean {
  const [, source, flags] = /^\/(.+)\/([ims]*)$/s.exec(wanted) ?? [];
  return source === undefined ? text.includes(wanted) : new RegExp(source, flags).test(text);
}

/** What the log calls a rule has its place behind it; a case may leave that out. */
function isRule(wanted: string, found: string | undefined): boolean {
  return found !== undefined && (found === wanted || found.startsWith(`${wanted} `) || found.startsWith(`${wanted}:`));
}

function sorted(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].toSorted();
}

function listed(texts: readonly string[]): string {
  return texts.length === 0 ? "none" : texts.map((text) => (text === "" ? "<>" : text)).join(", ");
}
