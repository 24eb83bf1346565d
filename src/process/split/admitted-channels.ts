import { createHash, timingSafeEqual } from "node:crypto";
import type { Channel, Handlers } from "./channel.ts";
import type { KeeperAccess } from "./roles.ts";
import { serveChannels } from "./served-channels.ts";

/** The channels of workers that have proved who they are. */
export interface AdmittedChannels {
  /** Those that are open now. */
  readonly open: ReadonlySet<Channel>;
  /** Resolves when none is left: workers of these settings go on with their sessions, and may need us until their last. */
  left(): Promise<void>;
  close(): void;
}

/**
 * Serves those who prove with a word of the supervisor's that they are what they say. All workers are the same user, and
 * not each of them has business here: `handlersOf` says what one may call. Whoever has no word, or a wrong one, is cut off.
 */
export async function serveAdmitted(
  access: KeeperAccess | undefined,
  handlersOf: (role: string) => Handlers,
  mode?: number,
): Promise<AdmittedChannels> {
  const open = new Set<Channel>();
  let whenEmpty: (() => void)[] = [];
  const server = await serveChannels(
    access?.path ?? "",
    (said, channel) => {
      const [role = "", word = ""] = said.split(" ");
      const expected = access !== undefined && Object.hasOwn(access.words, role) ? access.words[role] : undefined;
      if (!isSame(word, expected)) {
        channel.close();
        return { handlers: {} };
      }
      open.add(channel);
      const onEnd = (): void => {
        open.delete(channel);
        if (open.size > 0) return;
        for (const tell of whenEmpty) tell();
        whenEmpty = [];
      };
      return { handlers: handlersOf(role), onEnd };
    },
    mode,
  );
  return {
    open,
    async left() {
      if (open.size > 0) await new Promise<void>((resolve) => whenEmpty.push(resolve));
    },
    close: () => server.close(),
  };
}

/** These methods of `of`, for a channel. */
export function handlersFrom<Methods extends object>(
  of: Methods,
  names: readonly (keyof Methods & string)[],
): Handlers {
  return Object.fromEntries(
    names.map((name) => [
      name,
      (...args: never[]) => Reflect.apply(of[name] as (...args: never[]) => unknown, of, args),
    ]),
  );
}

function isSame(given: string, expected: string | undefined): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return expected !== undefined && expected !== "" && timingSafeEqual(digest(given), digest(expected));
}
