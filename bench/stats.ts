/** Medians and quantiles: unlike an average, a busy machine hardly moves them. */

/**
 * Returns the value below which a `part` of the values lies, interpolated
 * between neighbours: 0.5 gives the median.
 */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return below + (above - below) * (at - Math.floor(at));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}
