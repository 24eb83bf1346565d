import { systemTrust } from "../../service/table/pool/system-trust.io.ts";
import type { SystemTrust } from "../../service/table/pool/system-trust.ts";
import { readAnchors } from "../../service/tls/keeper/anchors.io.ts";
import { SYSTEM_ANCHORS, type Keeper } from "../../service/tls/keeper/keeper.ts";

/** What the keeper says of the system's authorities: it watches them, and may read them where others may not. */
export function keptTrust(keeper: Pick<Keeper, "anchors" | "onChange">): SystemTrust {
  return systemTrust({
    authorities: () => keeper.anchors(SYSTEM_ANCHORS),
    onChange: (tell) =>
      keeper.onChange((change) => {
        if (change === "anchors") tell();
      }),
  });
}

/** For a command, which has no keeper and does not live long. */
export function ownTrust(): SystemTrust {
  return systemTrust({ authorities: () => readAnchors(SYSTEM_ANCHORS), onChange: () => () => {} });
}
