import type { MailFacts } from "../filter.ts";

/** Whose preferences count, of the setting `user`; undefined: nobody's. */
export function userOf(
  template: string | undefined,
  { recipients }: Pick<MailFacts, "recipients">,
): string | undefined {
  if (template === undefined || !/\{(?:recipient|user)\}/.test(template)) return template;
  const [only, another] = recipients;
  if (only === undefined || another !== undefined) return undefined;
  const at = only.address.lastIndexOf("@");
  const local = at < 0 ? only.address : only.address.slice(0, at);
  return template.replaceAll("{recipient}", () => only.address).replaceAll("{user}", () => local);
}
