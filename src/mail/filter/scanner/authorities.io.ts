import { messageOf, PosthornError } from "../../../foundation/error.ts";
import { readAuthorities } from "../../../service/table/pool/authorities.io.ts";

/** The text of `tlsCa`, where a filter has one. Throws a `PosthornError` when it cannot be read. */
export async function authoritiesIn(filter: string, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return await readAuthorities(file);
  } catch (cause) {
    throw new PosthornError("SETTINGS_INVALID", {
      message: `the filter ${filter} cannot read its authorities: ${messageOf(cause)}`,
      advice: `see that ${file} is there with a certificate in it, and that the user of the processes that receive mail may read it`,
      cause,
    });
  }
}
