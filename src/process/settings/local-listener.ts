import { listenerSettings, type ListenerSettings } from "../../mail/connection/settings.ts";
import { LOCAL_LISTENER } from "./local-users.ts";

/** The listener behind the socket for users of this host: it binds nothing, connections are handed to it. */
export function localListener(): ListenerSettings {
  return listenerSettings.parse({
    name: LOCAL_LISTENER,
    path: "/nowhere",
    protocol: "submission",
    tls: "off",
    auth: "require",
    reverseDns: false,
  });
}
