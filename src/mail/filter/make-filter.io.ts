import { assert } from "../../foundation/assert.ts";
import { PosthornError } from "../../foundation/error.ts";
import type { Filter } from "./filter.ts";
import type { FilterWorld } from "./filter-world.ts";
import type { FilterSettings } from "./settings.ts";
import { kindOf } from "./filter-kind.ts";

/**
 * The filter of an entry of `filters`. A kind's code is read only when the settings have one of it, so that a server without
 * filters starts as fast as ever. Throws a `PosthornError` where the settings can't be used on this machine.
 */
export async function makeFilter(name: string, settings: FilterSettings, world: FilterWorld): Promise<Filter> {
  const kind = kindOf(settings);
  switch (kind) {
    // One case a kind.
    case "milter":
      return (await import("./milter/milter-filter.io.ts")).milterFilter(name, chosen(settings.milter), world);
    case "authenticate":
      return (await import("./authentication/authenticate-filter.ts")).authenticateFilter(
        name,
        chosen(settings.authenticate),
        world,
      );
    case "sign":
      return (await import("./authentication/sign-filter.ts")).signFilter(name, chosen(settings.sign), world);
    case "rspamd":
      return (await import("./rspamd/rspamd-filter.io.ts")).rspamdFilter(name, chosen(settings.rspamd), world);
    case "http":
      return (await import("./http/http-filter.io.ts")).httpHookFilter(name, chosen(settings.http), world);
    case "spamc":
      return (await import("./spamc/spamd-filter.io.ts")).spamdFilter(name, chosen(settings.spamc), world);
    case "clamd":
      return (await import("./clamd/clamd-filter.io.ts")).clamdFilter(name, chosen(settings.clamd), world);
    case "smtpProxy":
      return (await import("./smtp-proxy/smtp-proxy-filter.io.ts")).smtpProxyFilter(
        name,
        chosen(settings.smtpProxy),
        world,
      );
    case "module":
    case "hooks":
      return (await import("./hooks/module-filter.io.ts")).moduleFilter(name, chosen(settings[kind]), world);
    case "process":
      return (await import("./opensmtpd/opensmtpd-filter.io.ts")).opensmtpdFilter(
        name,
        chosen(settings.process),
        world,
      );
    case "builtin":
      return (await import("./builtin/builtin-filter.ts")).builtinFilter(name, chosen(settings.builtin), world);
    // Whoever makes filters asks `unchained` which there are.
    case "chain":
      throw new PosthornError("SETTINGS_INVALID", {
        message: `the filter ${name} is a chain: a name for others, no filter`,
        advice: "name its members",
      });
    case undefined:
      throw new PosthornError("SETTINGS_INVALID", {
        message: `the filter ${name} is of no kind`,
        advice: "give it an entry such as milter or rspamd",
      });
  }
}

/** `kindOf` said that this one is there. */
function chosen<Settings>(settings: Settings | undefined): Settings {
  assert(settings !== undefined, "a filter's kind is the one that was written");
  return settings;
}
