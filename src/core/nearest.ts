/** "Did you mean": the known name that lies nearest to what was written. */

/**
 * The name that takes the fewest edits (a letter added, left out, replaced, or two neighbours swapped), or
 * undefined when none is near enough to be meant. Comparing is blind to case, `-` and `_`.
 */
export function nearest(written: string, known: readonly string[]): string | undefined {
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = distanceBetween([written, name]);
    if (best === undefined || distance < best.distance) best = { name, distance };
  }
  return best !== undefined && best.distance <= maxDistance(written) ? best.name : undefined;
}

/** A property that none of `known` is and that lies near to one which is absent: its writer meant that one. */
export function misspelt(
  value: object,
  known: readonly string[],
): { written: string; meant: string } | undefined {
  const absent = known.filter((name) => name.length >= MIN_MISSPELT_LETTERS && !(name in value));
  for (const written of Object.keys(value)) {
    const meant = known.includes(written) ? undefined : nearest(written, absent);
    if (meant !== undefined) return { written, meant };
  }
  return undefined;
}

/** Shorter names have neighbours that are names themselves. */
const MIN_MISSPELT_LETTERS = 6;

/** How many edits lie between two names, blind to case, `-` and `_`; of long ones only the beginning counts. */
export function distanceBetween([written, name]: [written: string, name: string]): number {
  return edits(fold(written), fold(name));
}

/** How many edits away a name may be to be meant: one, or a third of the letters written. */
export function maxDistance(written: string): number {
  return Math.max(1, Math.floor(fold(written).length / 3));
}

function fold(name: string): string {
  return name.slice(0, MAX_COMPARED_LETTERS).toLowerCase().replace(/[-_]/g, "");
}

const MAX_COMPARED_LETTERS = 64;

function edits(from: string, to: string): number {
  let twoBack: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const isSame = from[row - 1] === to[column - 1];
      const isSwap =
        row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current[column] = Math.min(
        at(previous, column) + 1,
        at(current, column - 1) + 1,
        at(previous, column - 1) + (isSame ? 0 : 1),
        isSwap ? at(twoBack, column - 2) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    twoBack = previous;
    previous = current;
  }
  return at(previous, to.length);
}

function at(row: number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
