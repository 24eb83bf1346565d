const CR = 13;
const LF = 10;

/**
 * Whether what has come so far holds a CR or LF by itself. Ask with each piece; a CR at the end of all is known only when
 * something follows.
 */
export function bareEndingFinder(): (piece: Uint8Array) => boolean {
  let isFound = false;
  let endsInCr = false;
  return (piece) => {
    for (let at = 0; at < piece.length && !isFound; at++) {
      const isLf = piece[at] === LF;
      // A line feed and the CR in front of it need each other.
      if (isLf !== endsInCr) isFound = true;
      endsInCr = piece[at] === CR;
    }
    return isFound;
  };
}
