import * as controlEvents from "../admin/control/events.ts";
import { catalogueOf, eventsIn, mailEvents, type Catalogue } from "../mail/log/log.ts";
import * as processEvents from "./events.ts";

/** Every event that the server can say. */
export const catalogue: Catalogue = catalogueOf(mailEvents, eventsIn(controlEvents), eventsIn(processEvents));
