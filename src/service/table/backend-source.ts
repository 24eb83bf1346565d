import type { BackendSource, TableSource } from "./settings.ts";

/** Whether one of the backends answers it, so that it is opened, and may be down. */
export function isBackendSource(source: TableSource): source is BackendSource {
  return source.kind !== "list" && source.kind !== "map" && source.kind !== "file";
}
