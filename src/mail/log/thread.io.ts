import { Worker } from "node:worker_threads";

/** Starts a thread of this folder by the name of its file without extension; sources and emitted code alike. */
export function startThread(name: string, data: unknown): Worker {
  const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
  return new Worker(new URL(`./${name}${extension}`, import.meta.url), { workerData: data, name });
}
