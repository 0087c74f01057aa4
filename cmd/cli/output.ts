/** The output of the tool: JSON, or text for people. */

import { styleText } from "node:util";

/** Returns a value as JSON. Whole numbers that a number cannot hold are texts. */
export function asJson(value: unknown): string {
  return JSON.stringify(value, (_, each) => {
    if (typeof each === "bigint") {
      const number = Number(each);
      return Number.isSafeInteger(number) ? number : String(each);
    }
    return each instanceof Uint8Array ? each.toHex() : each;
  }, 2);
}

/** Returns a value as text: a table of a list, or a line for each field. */
export function asText(value: unknown, color = false): string {
  if (Array.isArray(value)) {
    return value.every(isRecord)
      ? table(value, color)
      : value.map(cell).join("\n");
  }
  return isRecord(value) ? fields(value, color) : cell(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null &&
    !Array.isArray(value) && !(value instanceof Uint8Array);
}

function bold(text: string, color: boolean): string {
  // The caller knows whether its output is a terminal.
  return color ? styleText("bold", text, { validateStream: false }) : text;
}

/** Returns a table of records that have about the same fields. */
function table(
  rows: readonly Record<string, unknown>[],
  color: boolean,
): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = rows.map((row) => names.map((name) => cell(row[name])));
  const widths = names.map((name, i) =>
    Math.max(name.length, ...cells.map((row) => row[i].length))
  );
  const numeric = names.map((name) =>
    rows.every((row) => ["number", "bigint"].includes(typeof row[name]))
  );
  const line = (row: readonly string[]) =>
    row.map((text, i) =>
      numeric[i] ? text.padStart(widths[i]) : text.padEnd(widths[i])
    ).join("  ").trimEnd();
  return [bold(line(names), color), ...cells.map(line)].join("\n");
}

/** Returns a line for each field. Records inside are indented. */
function fields(record: Record<string, unknown>, color: boolean): string {
  const entries = Object.entries(record);
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => {
    const nested = isRecord(value) ||
      Array.isArray(value) && value.length > 0 && value.every(isRecord);
    if (!nested) {
      return `${bold(name.padEnd(width), color)}  ${cell(value)}`.trimEnd();
    }
    return `${bold(name, color)}\n${asText(value, color).replace(/^/gm, "  ")}`;
  }).join("\n");
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return "-";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value instanceof Uint8Array) return value.toHex();
  if (Array.isArray(value)) return value.map(cell).join(" ");
  if (isRecord(value)) return asJson(value).replaceAll(/\s+/g, " ");
  return String(value);
}

/** Returns a number of bytes for people, in powers of 1000 as on a drive's box. */
export function byteText(bytes: number | bigint): string {
  let value = Number(bytes);
  let unit = 0;
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** Returns bytes as lines of hexadecimal digits and characters. */
export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = bytes.subarray(at, at + 16);
    const digits = Array.from(
      part,
      (byte) => byte.toString(16).padStart(2, "0"),
    )
      .join(" ");
    const text = Array.from(
      part,
      (byte) => byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".",
    ).join("");
    lines.push(
      `${at.toString(16).padStart(4, "0")}  ${digits.padEnd(47)}  ${text}`,
    );
  }
  return lines.join("\n");
}
