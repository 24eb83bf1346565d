import { runFilingWorker } from "./filing-worker.ts";

runFilingWorker();
