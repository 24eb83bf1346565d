/** `maxSessions` → `max-sessions`, as settings files write names. */
export function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter, at: number) => (at === 0 ? "" : "-") + letter.toLowerCase());
}

/** `max-sessions` → `maxSessions`. A name that is no kebab-case stays what it is. */
export function camelCase(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** The known name that somebody who wrote `name` most likely meant; undefined when none is near. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const bare = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]/g, "");
  const given = bare(name);
  let nearest: { name: string; distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(given, bare(candidate));
    // A third of the letters may be wrong, at least one: beyond that a suggestion misleads.
    const most = Math.max(1, Math.floor(Math.max(given.length, candidate.length) / 3));
    if (distance <= most && (nearest === undefined || distance < nearest.distance))
      nearest = { name: candidate, distance };
  }
  if (nearest !== undefined) return nearest.name;
  const within = known.filter((candidate) => given.length >= 4 && bare(candidate).includes(given));
  return within.length === 1 ? within[0] : undefined;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one text into the other. */
export function editDistance(from: string, to: string): number {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1];
      let least = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
      );
      if (row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1])
        least = Math.min(least, (beforeLast[column - 2] ?? 0) + 1);
      current.push(least);
    }
    beforeLast = last;
    last = current;
  }
  return last[to.length] ?? 0;
}
