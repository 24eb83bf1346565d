import type { Clock } from "../../foundation/clock.ts";
import { SYSTEM_ANCHORS, type Keeper, type KeeperStore } from "../tls/keeper/keeper.ts";
import type { AcmeItem } from "./acme.ts";
import { obtain, type Answerer } from "./obtain.io.ts";
import { AcmeFailure, acmeProblem } from "./problem.ts";
import type { AcmeSettings } from "./settings.ts";
import { httpsTransport } from "./transport.io.ts";

/** Has an authority issue a certificate, and gives its chain. Rejects with `AcmeFailure`, or what the keeper throws. */
export type Order = (item: AcmeItem, signal: AbortSignal) => Promise<string>;

export interface OrderParts {
  readonly settings: AcmeSettings;
  /** The key of the external account binding. */
  readonly bindingKey?: string | undefined;
  readonly store: Pick<KeeperStore, "requestFor" | "accountKey"> & Pick<Keeper, "anchors">;
  readonly answerer: Answerer;
  readonly clock: Clock;
  readonly userAgent: string;
}

/** Orders from the authority that the settings name, over HTTPS; the keys are the keeper's. */
export function ordersOver(parts: OrderParts): Order {
  const { settings, store, clock } = parts;
  const { eab, directory, email, challenge } = settings;
  return async (item, signal) => {
    const anchors = await store.anchors(settings.caFile ?? SYSTEM_ANCHORS);
    if (anchors.pems.length === 0)
      throw new AcmeFailure(
        acmeProblem(
          "untrusted",
          `there are no authorities to verify ${directory} with: ${anchors.problem ?? anchors.origin}`,
        ),
      );
    const accountKeyPem = await store.accountKey(directory);
    const requestPem = await store.requestFor(item.label, item.kind, item.names);
    const transport = httpsTransport({ authorities: anchors.pems, clock, signal, userAgent: parts.userAgent });
    try {
      return await obtain({
        directory,
        email,
        challenge,
        binding:
          eab === undefined || parts.bindingKey === undefined ? undefined : { keyId: eab.keyId, key: parts.bindingKey },
        accountKeyPem,
        names: item.names,
        requestPem,
        transport,
        answerer: parts.answerer,
        clock,
        signal,
      });
    } finally {
      transport.close();
    }
  };
}
