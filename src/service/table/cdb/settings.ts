import { path } from "../../config/kinds.ts";

export interface CdbSettings {
  readonly file: string;
}

/** An indexed file, as `posthorn makemap` makes it. */
export const cdbSettings = path().transform((file): CdbSettings => ({ file }));
