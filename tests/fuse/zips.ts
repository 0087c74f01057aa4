/** Zips for tests: two that other programs have made, and a maker of odd ones. */

/** By Info-ZIP 3.0 (`zip -r -y`): a link, stored and deflated files, UTF-8. */
export const INFO_ZIP = Uint8Array.fromBase64(`
UEsDBAoAAAAAAKMgQyoAAAAAAAAAAAAAAAAEABwAZGlyL1VUCQADcoN7OtKxDWt1eAsAAQQAAAAA
BAAAAABQSwMECgAAAAAAoyBDKrvOYBIJAAAACQAAAAgAHABkaXIvbGlua1VUCQADcoN7OtKxDWt1
eAsAAQQAAAAABAAAAABoZWxsby50eHRQSwMECgAAAAAAoyBDKhs4cssLAAAACwAAAA0AHABkaXIv
aGVsbG8udHh0VVQJAANyg3s60rENa3V4CwABBAAAAAAEAAAAAGhlbGxvLCB6aXAKUEsDBAoAAAAA
AKMgQyoAAAAAAAAAAAAAAAAIABwAZGlyL3N1Yi9VVAkAA3KDezrSsQ1rdXgLAAEEAAAAAAQAAAAA
UEsDBBQAAAAIAKMgQyqLNgAzjwEAAJwGAAARABwAZGlyL3N1Yi9saW5lcy50eHRVVAkAA3KDezrS
sQ1rdXgLAAEEAAAAAAQAAAAARdW7bRwwFAXRfKtwCbz8syAHBgT1HwoCZ+joZQda7R3u17/vv3/y
+fo99Z52T79n3DPvWffse849KVycAAUpUMEKWNACF7yKV/278Cpexat4Fa/iVbyK1/AaXvOD4jW8
htfwGl7Da3gdr+N1vO5/Dq/jdbyO1/E63sAbeANv4A2/CryBN/AG3sCbeBNv4k28iTf9bvEm3sSb
eAtv4S28hbfwFt5yLHgLb+FtvI238Tbextt4G2+7PryNd/AO3sE7eAfv4B28g3ec89uzgy4uujjp
4qaLoy6uujjr4q6Lwy7K/1NRfrG8Wl4ur5cXzCvmJWMzMZrUV6Gy3cRwYjkxndhOjCfWE/OJ/aS9
wJVNKDYUI4oVxYxiRzGkWFJMKf29HcrWFHOKPcWgYlExqdhUjCpWlfGeJWXDimXFtGJbMa5YV8wr
9hUDy3wvnrKNxchiZTGz2FkMLZYWU4utZb3HVNncYm8xuFhcTC42F6OL1cXsst87rWx5Mb3YXowv
1hfzi/3FAGOBOe8n4P0GlM8PUEsDBAoAAAAAAKMgQyqlsZVdBQAAAAUAAAAKABwAZGlyL8O8LnR4
dFVUCQADcoN7OtKxDWt1eAsAAQQAAAAABAAAAABncsO8blBLAwQKAAAAAACjIEMqAAAAAAAAAAAA
AAAABgAcAGVtcHR5L1VUCQADcoN7OtKxDWt1eAsAAQQAAAAABAAAAABQSwECHgMKAAAAAACjIEMq
AAAAAAAAAAAAAAAABAAYAAAAAAAAABAA7UEAAAAAZGlyL1VUBQADcoN7OnV4CwABBAAAAAAEAAAA
AFBLAQIeAwoAAAAAAKMgQyq7zmASCQAAAAkAAAAIABgAAAAAAAAAAAD/oT4AAABkaXIvbGlua1VU
BQADcoN7OnV4CwABBAAAAAAEAAAAAFBLAQIeAwoAAAAAAKMgQyobOHLLCwAAAAsAAAANABgAAAAA
AAEAAACkgYkAAABkaXIvaGVsbG8udHh0VVQFAANyg3s6dXgLAAEEAAAAAAQAAAAAUEsBAh4DCgAA
AAAAoyBDKgAAAAAAAAAAAAAAAAgAGAAAAAAAAAAQAO1B2wAAAGRpci9zdWIvVVQFAANyg3s6dXgL
AAEEAAAAAAQAAAAAUEsBAh4DFAAAAAgAoyBDKos2ADOPAQAAnAYAABEAGAAAAAAAAQAAAO2BHQEA
AGRpci9zdWIvbGluZXMudHh0VVQFAANyg3s6dXgLAAEEAAAAAAQAAAAAUEsBAh4DCgAAAAAAoyBD
KqWxlV0FAAAABQAAAAoAGAAAAAAAAQAAAKSB9wIAAGRpci/DvC50eHRVVAUAA3KDezp1eAsAAQQA
AAAABAAAAABQSwECHgMKAAAAAACjIEMqAAAAAAAAAAAAAAAABgAYAAAAAAAAABAA7UFAAwAAZW1w
dHkvVVQFAANyg3s6dXgLAAEEAAAAAAQAAAAAUEsFBgAAAAAHAAcALAIAAIADAAAAAA==
`);

/** By Python 3: zip64 fields, and a comment that looks like an end. */
export const PYTHON = Uint8Array.fromBase64(`
UEsDBBQAAAAIAG2Lfl1Y8JpZBgAAAMgAAAAFAAAAYS50eHRLTBweAABQSwMELQAAAAAAfb9dUI9d
Dl7//////////wMAFABiaWcBABAAZAAAAAAAAABkAAAAAAAAAHh4eHh4eHh4eHh4eHh4eHh4eHh4
eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4
eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHhQSwECFAMUAAAACABti35dWPCaWQYAAADIAAAABQAAAAAA
AAAAAAAAgAEAAAAAYS50eHRQSwECLQMtAAAAAAB9v11Qj10OXmQAAABkAAAAAwAAAAAAAAAAAAAA
gAEpAAAAYmlnUEsFBgAAAAACAAIAZAAAAMIAAAARAFBLBQYgaW4gYSBjb21tZW50
`);

/** What goes into a zip. */
export interface Item {
  readonly name: string | Uint8Array;
  readonly data?: Uint8Array;
  /** 0: stored; 8, the default: deflated; others are stored. */
  readonly method?: number;
  readonly flags?: number;
  readonly mode?: number;
  /** The size that the zip claims. Default: the true one. */
  readonly size?: number;
  /** Keeps sizes and offset in a zip64 field. */
  readonly large?: boolean;
  /** Changes the deflated bytes. */
  readonly spoil?: (bytes: Uint8Array) => void;
}

/** How the end of a zip is. */
export interface End {
  /** Bytes before the zip, which its offsets do not count. */
  readonly before?: Uint8Array;
  readonly comment?: Uint8Array;
  /** Adds the records of zip64, and leaves nothing in the other one. */
  readonly large?: boolean;
}

const encoder = new TextEncoder();

/** Returns little-endian numbers: each is a value, and its bytes. */
function fields(...list: [value: number, bytes: number][]): Uint8Array {
  const out: number[] = [];
  for (const [value, bytes] of list) {
    let rest = BigInt(value);
    for (let i = 0; i < bytes; i++) {
      out.push(Number(rest & 0xffn));
      rest >>= 8n;
    }
  }
  return new Uint8Array(out);
}

async function deflate(data: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([data as Uint8Array<ArrayBuffer>]).stream()
    .pipeThrough(new CompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Makes a zip. */
export async function makeZip(
  items: readonly Item[],
  { before = new Uint8Array(0), comment = new Uint8Array(0), large }: End = {},
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const entries: Uint8Array[] = [];
  let at = 0;
  const put = (part: Uint8Array) => {
    parts.push(part);
    at += part.length;
  };
  for (const item of items) {
    const { data = new Uint8Array(0), method = 8, flags = 0 } = item;
    const name = typeof item.name === "string"
      ? encoder.encode(item.name)
      : item.name;
    const packed = method === 8 ? await deflate(data) : data;
    item.spoil?.(packed);
    const { size = data.length, mode = 0 } = item;
    const sizes: [number, number][] = item.large
      ? [[0xffff_ffff, 4], [0xffff_ffff, 4]]
      : [[packed.length, 4], [size, 4]];
    // From Unix, on 2020-02-29 at 12:34:56.
    const common: [number, number][] = [
      ...[[flags, 2], [method, 2], [12 << 11 | 34 << 5 | 28, 2]],
      ...[[40 << 9 | 2 << 5 | 29, 2], [0, 4], ...sizes, [name.length, 2]],
    ] as [number, number][];
    const extra = item.large
      ? fields([1, 2], [24, 2], [size, 8], [packed.length, 8], [at, 8])
      : new Uint8Array(0);
    entries.push(
      fields(
        ...[[0x02014b50, 4], [3 << 8 | 45, 2], [45, 2]] as [number, number][],
        ...common,
        ...[[extra.length, 2], [0, 2], [0, 2], [0, 2]] as [number, number][],
        [mode * 0x10000, 4],
        [item.large ? 0xffff_ffff : at, 4],
      ),
      name,
      extra,
    );
    // An extra field of its own: that of the entry is not in its place.
    const local = new Uint8Array([0xff, 0xff, 2, 0, 7, 7]);
    put(fields([0x04034b50, 4], [45, 2], ...common, [local.length, 2]));
    for (const part of [name, local, packed]) put(part);
  }
  const start = at;
  for (const part of entries) put(part);
  const length = at - start;
  const end64 = at;
  const n = items.length;
  if (large) {
    put(fields([0x06064b50, 4], [44, 8], [45, 2], [45, 2], [0, 4], [0, 4]));
    put(fields([n, 8], [n, 8], [length, 8], [start, 8]));
    put(fields([0x07064b50, 4], [0, 4], [end64, 8], [1, 4]));
  }
  const [count, size, offset] = large
    ? [0xffff, 0xffff_ffff, 0xffff_ffff]
    : [n, length, start];
  put(fields([0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2]));
  put(fields([size, 4], [offset, 4], [comment.length, 2]));
  put(comment);
  const all = [before, ...parts] as Uint8Array<ArrayBuffer>[];
  return new Uint8Array(await new Blob(all).arrayBuffer());
}
