import type { Clock } from "../foundation/clock.ts";
import type { Emit } from "../foundation/events.ts";
import type { LocalDelivery } from "../mail/delivery/delivery.ts";
import { createLocalDelivery } from "../mail/delivery/mailbox/local-delivery.io.ts";
import { bodyOpener } from "./egress-role.ts";
import type { Folders } from "./folders.ts";
import type { LoadedSettings } from "./load-settings.ts";

/** Final delivery. Closing it waits for what runs. */
export interface DeliveryRole extends AsyncDisposable {
  readonly port: LocalDelivery;
}

export function startDelivery(parts: {
  loaded: LoadedSettings;
  folders: Folders;
  clock: Clock;
  emit: Emit;
}): DeliveryRole {
  const { settings } = parts.loaded;
  const open = bodyOpener(parts.folders);
  const delivery = createLocalDelivery({
    clock: parts.clock,
    emit: parts.emit,
    settings: settings.mailbox,
    actions: (name) => settings.actions[name],
    openBody: async (body) => open(body),
    stateDirectory: parts.folders.state,
    hostname: settings.hostname,
    extensionDelimiter: settings.local.extensionDelimiter,
  });
  return { port: delivery, [Symbol.asyncDispose]: () => delivery[Symbol.asyncDispose]() };
}
