/** One answer of a policy server, or that it sent what is none: nothing more can be read then. */
export type PolicyAnswer =
  | { readonly kind: "action"; readonly action: string }
  | { readonly kind: "broken"; readonly text: string };

/** Longer answers are none. */
export const MOST_ANSWER_BYTES = 16_384;

/**
 * Reads answers: lines of `name=value`, an empty line behind each answer. Names other than `action` are passed over. The
 * same bytes cut elsewhere give the same answers.
 */
export function policyAnswerReader(): (chunk: Uint8Array) => readonly PolicyAnswer[] {
  let held = Buffer.alloc(0);
  let action: string | undefined;
  let bytes = 0;
  let isBroken = false;
  return (chunk) => {
    if (isBroken) return [];
    const answers: PolicyAnswer[] = [];
    const give = (text: string): readonly PolicyAnswer[] => {
      isBroken = true;
      held = Buffer.alloc(0);
      return [...answers, { kind: "broken", text }];
    };
    held = Buffer.concat([held, chunk]);
    for (let end = held.indexOf(0x0a); end >= 0; end = held.indexOf(0x0a)) {
      const line = held.toString("utf8", 0, end).replace(/\r$/, "");
      bytes += end + 1;
      held = held.subarray(end + 1);
      if (bytes > MOST_ANSWER_BYTES) return give("an answer that does not end");
      if (line === "") {
        if (action === undefined) return give("an answer without an action");
        answers.push({ kind: "action", action });
        action = undefined;
        bytes = 0;
        continue;
      }
      const at = line.indexOf("=");
      if (at < 0) return give("a line that is no name=value");
      if (line.slice(0, at).trim() === "action") action ??= line.slice(at + 1).trim();
    }
    return bytes + held.length > MOST_ANSWER_BYTES ? give("an answer that does not end") : answers;
  };
}
