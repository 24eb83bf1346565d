/**
 * `node --import bench/profile/heap-hook.ts`: what each thread of a process allocates, from one SIGUSR2 to the next. It is written
 * to the folder that POSTHORN_BENCH_HEAP names: `PID-THREAD.ready` when a thread has begun, with its name; `.on` when it counts;
 * `.json`, and then `.off`, when it has counted. POSTHORN_BENCH_CHILDREN is added to the NODE_OPTIONS of a process's children.
 */
import { Session } from "node:inspector";
import { writeFileSync } from "node:fs";
import { GCProfiler, getHeapStatistics } from "node:v8";
import { BroadcastChannel, isMainThread, threadId, threadName } from "node:worker_threads";
import type { HeapProfile, ThreadHeap } from "./allocations.ts";

/** Bytes between two samples, in the mean. */
const INTERVAL_BYTES = 4096;

const folder = process.env["POSTHORN_BENCH_HEAP"];
if (folder !== undefined) {
  // Children that may do only what they are told they may are told of this; their threads would not take such words.
  const more = process.env["POSTHORN_BENCH_CHILDREN"] ?? "";
  const options = process.env["NODE_OPTIONS"] ?? "";
  if (isMainThread && more !== "")
    process.env["NODE_OPTIONS"] = options.endsWith(more) ? options.slice(0, -more.length) : options + more;
  const file = `${folder}/${process.pid}-${threadId}`;
  let stop: (() => void) | undefined;
  const toggle = (): void => {
    if (stop !== undefined) {
      stop();
      stop = undefined;
      return;
    }
    const session = new Session();
    session.connect();
    session.post("HeapProfiler.startSampling", {
      samplingInterval: INTERVAL_BYTES,
      // All that was allocated, not only what is left of it.
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    });
    const collections = new GCProfiler();
    const usedAtStart = getHeapStatistics().used_heap_size;
    collections.start();
    stop = () => {
      const usedAtEnd = getHeapStatistics().used_heap_size;
      const { statistics } = collections.stop();
      session.post("HeapProfiler.stopSampling", (error, answer: { profile: HeapProfile }) => {
        if (error !== null) throw error;
        const heap: ThreadHeap = {
          profile: answer.profile,
          usedAtStart,
          usedAtEnd,
          collections: statistics.map(({ beforeGC, afterGC }) => ({
            before: beforeGC.heapStatistics.usedHeapSize,
            after: afterGC.heapStatistics.usedHeapSize,
          })),
        };
        writeFileSync(`${file}.json`, JSON.stringify(heap));
        // Not a rename, which would have to be allowed to read.
        writeFileSync(`${file}.off`, "");
        session.disconnect();
      });
    };
    writeFileSync(`${file}.on`, "");
  };
  // A signal reaches the first thread only.
  const channel = new BroadcastChannel("posthorn-bench-heap");
  channel.unref();
  if (isMainThread) {
    process.on("SIGUSR2", () => {
      channel.postMessage("toggle");
      toggle();
    });
  } else channel.addEventListener("message", toggle);
  writeFileSync(`${file}.ready`, isMainThread ? "main thread" : (threadName ?? "a thread"));
}
