/**
 * Counts the milliseconds of the processor that this process uses from now on: for tests of what something costs, which must
 * not depend on what else the machine does meanwhile.
 */
export function cpuWatch(): () => number {
  const from = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1000;
  };
}
