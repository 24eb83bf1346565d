import type { ControlSettings } from "./settings.ts";

export interface ControlPaths {
  readonly query: string;
  readonly change: string;
}

/** Where the sockets are: as set, else in the state directory's `run`. */
export function controlPaths(settings: ControlSettings, runDirectory: string): ControlPaths {
  return {
    query: settings.query.path ?? `${runDirectory}/query.sock`,
    change: settings.change.path ?? `${runDirectory}/control.sock`,
  };
}
