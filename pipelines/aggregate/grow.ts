/** Doubled until it holds `length` values, the old ones in front. */
export function grownF64(values: Float64Array<ArrayBuffer>, length: number): Float64Array<ArrayBuffer> {
  if (length <= values.length) return values;
  const grown = new Float64Array(Math.max(length, values.length * 2));
  grown.set(values);
  return grown;
}

/** Doubled until it holds `length` values, the old ones in front. */
export function grownI32(values: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  if (length <= values.length) return values;
  const grown = new Int32Array(Math.max(length, values.length * 2));
  grown.set(values);
  return grown;
}
