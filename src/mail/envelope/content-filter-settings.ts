import { z } from "zod";
import { count, oneOrMore } from "../../service/config/kinds.ts";
import type { ContentFilterSetting } from "./content-filter.ts";

const contentFilterFields = z.strictObject({
  to: oneOrMore(z.string().min(1)).describe(
    "Where the filter listens, as a URL (`smtp://127.0.0.1:10025`, `lmtp+unix:/run/filter`); or several, tried in this order.",
  ),
  credentials: z.string().optional().describe("The entry of `credentials` to log in with."),
  verify: z
    .boolean()
    .optional()
    .describe("Whether its certificate must verify. Without it: yes when credentials are sent, else no."),
  connections: count({ min: 1, max: 10_000 })
    .default(10)
    .describe("Most connections to it: as many as it serves at once."),
});

/** At the top of the settings, at a listener and in a rule: URLs, or more; `none` or `[]` where there would be one else. */
export function contentFilterSetting(): z.ZodType<ContentFilterSetting, WrittenContentFilter> {
  const none = (): ContentFilterSetting => "none";
  const of = (to: string | readonly string[]): ContentFilterSetting => contentFilterFields.parse({ to });
  return z.union([
    z.null().transform(none),
    z.array(z.string().min(1)).transform((urls) => (urls.length === 0 ? none() : of(urls))),
    z
      .string()
      .min(1)
      .transform((text) => (text === "none" ? none() : of(text))),
    contentFilterFields,
  ]);
}

type WrittenContentFilter = null | readonly string[] | string | z.input<typeof contentFilterFields>;
