/** They are part of the simulator, which checks them in every run. */
export { assertSchedulerInvariants } from "../simulator/scheduler-invariants.ts";
