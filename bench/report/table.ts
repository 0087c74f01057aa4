/** Markdown tables, aligned so that they also read well on a terminal. */

/** Formats a table. Its first row is the head; the first columns are text. */
export function table(
  rows: readonly (readonly string[])[],
  textColumns = 1,
): string {
  const widths = rows[0].map((_, column) =>
    Math.max(3, ...rows.map((row) => row[column].length))
  );
  const lines = rows.map((row) =>
    row.map((cell, i) =>
      i < textColumns ? cell.padEnd(widths[i]) : cell.padStart(widths[i])
    )
  );
  const rule = widths.map((width, i) =>
    i < textColumns ? "-".repeat(width) : `${"-".repeat(width - 1)}:`
  );
  return [lines[0], rule, ...lines.slice(1)]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

/** Formats a number with three digits, or with two decimals if it is below 1. */
export function number(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(size >= 10 ? 1 : 2);
}
