import type { Action, RelayAction } from "./action-settings.ts";

/**
 * Content filters: mail that was accepted goes to a program first, which hands it back to another listener. Whoever was
 * accepted by rules and restrictions goes there as the client gave it, unexpanded; the rules have their say about where it
 * leads when it comes back.
 *
 * An envelope on its way to a filter carries an action name that says where the filter is set, at the top, at a listener or
 * in a rule, never what it is: who mends the settings frees the mail. No action that people write has a colon in its name.
 */
export interface ContentFilter {
  /** URLs of relays, tried in this order. */
  readonly to: readonly string[];
  readonly credentials?: string | undefined;
  readonly verify?: boolean | undefined;
  /** Most connections to it. */
  readonly connections: number;
}

/** As the settings have it: a filter, or none where there would be one otherwise. */
export type ContentFilterSetting = ContentFilter | "none";

/** Where a filter is set. */
type FilterPlace =
  | { readonly at: "top" }
  | { readonly at: "listener"; readonly name: string }
  | { readonly at: "rule"; readonly name: string };

const PREFIX = "content-filter:";

/** `content-filter:`, `content-filter:smtp`, `content-filter:rule:suspicious`. */
function contentFilterAction(place: FilterPlace): string {
  return `${PREFIX}${place.at === "top" ? "" : place.at === "rule" ? `rule:${place.name}` : place.name}`;
}

/**
 * The action of mail of our own that the rules place when it is tried, as mail of a content filter that is gone: for what has to be
 * kept now, while a table that says where it goes does not answer. No listener has such a name.
 */
export const PLACED_LATER = `${PREFIX}(by the rules)`;

export function isContentFilterAction(action: string): boolean {
  return action.startsWith(PREFIX);
}

/** The settings that content filters stand in. */
export interface ContentFilterPlaces {
  readonly contentFilter?: ContentFilterSetting | undefined;
  readonly listeners: readonly { readonly name: string; readonly contentFilter?: ContentFilterSetting | undefined }[];
  readonly rules?:
    | readonly { readonly name?: string | undefined; readonly contentFilter?: ContentFilterSetting | undefined }[]
    | undefined;
}

/** The action for each content filter in the settings, beside those that people write. */
export function contentFilterActions(settings: ContentFilterPlaces): Readonly<Record<string, Action>> {
  const actions: Record<string, Action> = {};
  const add = (place: FilterPlace, filter: ContentFilterSetting | undefined): void => {
    if (filter !== undefined && filter !== "none") actions[contentFilterAction(place)] = actionOf(filter);
  };
  add({ at: "top" }, settings.contentFilter);
  for (const { name, contentFilter } of settings.listeners) add({ at: "listener", name }, contentFilter);
  for (const { name, contentFilter } of settings.rules ?? [])
    if (name !== undefined) add({ at: "rule", name }, contentFilter);
  return actions;
}

/** The action of mail that comes in at each listener, where that is a content filter; and what a rule says instead. */
export interface ContentFilterChoice {
  /** Undefined: none. */
  at(listener: string): string | undefined;
  /** By the rule's place in the list; `none` where it says so. Undefined: it says nothing of it. */
  ofRule(rule: number): string | undefined;
}

/** Undefined where the settings have no content filter at all. */
export function contentFilterChoice(settings: ContentFilterPlaces): ContentFilterChoice | undefined {
  if (Object.keys(contentFilterActions(settings)).length === 0) return undefined;
  const common = isSet(settings.contentFilter) ? contentFilterAction({ at: "top" }) : undefined;
  const listeners = new Map(
    settings.listeners.flatMap(({ name, contentFilter }) =>
      contentFilter === undefined
        ? []
        : [[name, isSet(contentFilter) ? contentFilterAction({ at: "listener", name }) : undefined] as const],
    ),
  );
  const rules = (settings.rules ?? []).map(({ name, contentFilter }) =>
    isSet(contentFilter) && name !== undefined ? contentFilterAction({ at: "rule", name }) : contentFilter,
  );
  return {
    at: (listener) => (listeners.has(listener) ? listeners.get(listener) : common),
    ofRule(at) {
      const said = rules[at];
      return typeof said === "string" ? said : undefined;
    },
  };
}

function isSet(setting: ContentFilterSetting | undefined): setting is ContentFilter {
  return setting !== undefined && setting !== "none";
}

function actionOf({ to, credentials, verify, connections }: ContentFilter): { readonly kind: "relay" } & RelayAction {
  return {
    kind: "relay",
    to,
    backup: false,
    connections,
    xforward: true,
    isContentFilter: true,
    ...(credentials === undefined ? {} : { credentials }),
    ...(verify === undefined ? {} : { verify }),
  };
}
