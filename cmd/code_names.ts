/** Tables of the names that a standard gives to its numbers. */

/**
 * Makes a function that returns the name of a number in a table. An entry of the
 * table is a number in hexadecimal, a space and the name. Entries end at a
 * semicolon or a line break.
 *
 * The first call parses the table, so that the import of a module costs nothing.
 */
export function codeNames(table: string): (code: number) => string | undefined {
  let names: ReadonlyMap<number, string> | undefined;
  return (code) => {
    names ??= parse(table);
    return names.get(code);
  };
}

function parse(table: string): ReadonlyMap<number, string> {
  const entries = table.matchAll(/([0-9a-f]+) ([^;\n]+)/g);
  return new Map(
    Array.from(entries, ([, code, name]) => [parseInt(code, 16), name]),
  );
}
