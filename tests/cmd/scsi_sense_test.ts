/** Sense data of SCSI devices, and the errors that are made of it. */

import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { equals } from "@std/bytes";
import { decodeSense, ScsiError } from "../../cmd/scsi/mod.ts";
import { random } from "../kit/random.ts";

// ---- Sense data ------------------------------------------------------------------

/** Makes sense data of the fixed format, of bytes by their index. */
function fixedSense(bytes: Record<number, number>): Uint8Array {
  return Object.assign(new Uint8Array(18), { 0: 0x70, 7: 10 }, bytes);
}

Deno.test("SCSI sense data of the fixed format is decoded", () => {
  const bytes = Uint8Array.of(
    ...[0xf0, 0, 0x03], // valid, response code; obsolete; sense key
    ...[0, 0, 0x12, 0x34], // information
    10, // additional sense length
    ...[0, 0, 0, 0], // command-specific information
    ...[0x11, 0x04], // additional sense code, qualifier
    0, // field replaceable unit code
    ...[0x80, 0x00, 0x0a], // specific to the sense key: retries
  );
  assertEquals(decodeSense(bytes), {
    key: 3,
    keyName: "Medium Error",
    asc: 0x11,
    ascq: 0x04,
    text: "Unrecovered read error - auto reallocate failed",
    deferred: false,
    information: 0x1234n,
    filemark: false,
    endOfMedium: false,
    incorrectLength: false,
    field: undefined,
    progress: undefined,
    bytes,
  });
});

Deno.test("SCSI sense data of descriptors is decoded", () => {
  const bytes = Uint8Array.of(
    ...[0x72, 0x05, 0x24, 0x00], // response code, sense key, asc, ascq
    ...[0, 0, 0, 24], // reserved, additional sense length
    ...[0x80, 2, 0xff, 0xff], // a descriptor of the vendor's
    ...[0x02, 6, 0, 0, 0xcd, 0x01, 0x02, 0], // specific to the sense key
    ...[0x00, 10, 0x80, 0], // information: valid
    ...[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08],
  );
  assertEquals(decodeSense(bytes), {
    key: 5,
    keyName: "Illegal Request",
    asc: 0x24,
    ascq: 0,
    text: "Invalid field in CDB",
    deferred: false,
    information: 0x0102_0304_0506_0708n,
    filemark: false,
    endOfMedium: false,
    incorrectLength: false,
    field: { in: "cdb", byte: 0x0102, bit: 5 },
    progress: undefined,
    bytes,
  });
});

Deno.test("SCSI sense data of an earlier command is marked as deferred", () => {
  assertEquals(decodeSense(fixedSense({ 0: 0x70 }))!.deferred, false);
  assertEquals(decodeSense(fixedSense({ 0: 0x71 }))!.deferred, true);
  assertEquals(decodeSense(fixedSense({ 0: 0x72 }))!.deferred, false);
  assertEquals(decodeSense(fixedSense({ 0: 0x73 }))!.deferred, true);
});

Deno.test("the fields that depend on the SCSI sense key are decoded", () => {
  const field = (flags: number) =>
    decodeSense(fixedSense({ 2: 5, 15: flags, 16: 1, 17: 2 }))!.field;
  assertEquals(field(0x4d), undefined); // Not valid.
  assertEquals(field(0xcb), { in: "cdb", byte: 0x102, bit: 3 });
  assertEquals(field(0xc3), { in: "cdb", byte: 0x102, bit: undefined });
  assertEquals(field(0x80), { in: "data", byte: 0x102, bit: undefined });
  for (const [key, progress] of [[2, 0.25], [0, 0.25], [3, undefined]]) {
    const bytes = fixedSense({ 2: key!, 15: 0x80, 16: 0x40, 17: 0 });
    const sense = decodeSense(bytes)!;
    assertEquals([sense.progress, sense.field], [progress, undefined]);
  }
});

Deno.test("the missing bytes of short SCSI sense data are zeros", () => {
  const whole = fixedSense({
    0: 0xf0,
    2: 3,
    5: 0x12,
    6: 0x34,
    12: 0x11,
    13: 1,
  });
  const { asc, ascq, information, key } = decodeSense(whole.slice(0, 13))!;
  assertEquals([key, asc, ascq, information], [3, 0x11, 0, 0x1234n]);
  // The device says where it ends: the bytes after that are not its own.
  whole[7] = 5;
  assertEquals(decodeSense(whole)!.ascq, 0);
  assertEquals(decodeSense(whole)!.asc, 0x11);
  assertEquals(decodeSense(Uint8Array.of(0x72, 3))!.key, 3);
  const information72 = (length: number, additional: number) => {
    const bytes = new Uint8Array(20);
    bytes.set([0x72, 3, 0x11, 0, 0, 0, 0, additional, 0, 10, 0x80, 0], 0);
    bytes[19] = 9;
    return decodeSense(bytes.slice(0, length))!.information;
  };
  assertEquals(information72(20, 12), 9n);
  assertEquals(information72(20, 11), undefined);
  assertEquals(information72(19, 12), undefined);
});

Deno.test("SCSI sense data that ends early has no fields after its end", () => {
  const whole = fixedSense({ 0: 0xf0, 2: 5, 6: 9, 12: 0x24, 15: 0xc8, 17: 2 });
  const field = { in: "cdb", byte: 2, bit: 0 } as const;
  assertEquals(decodeSense(whole)!.field, field);
  for (let length = 8; length < 18; length++) {
    assertEquals(decodeSense(whole.slice(0, length))!.field, undefined);
    // The device, and not the buffer, may say where the data ends.
    const said = decodeSense(Object.assign(whole.slice(), { 7: length - 8 }))!;
    assertEquals([said.field, said.information], [undefined, 9n]);
  }
  assertEquals(decodeSense(whole.slice(0, 7))!.information, 9n);
  assertEquals(decodeSense(whole.slice(0, 6))!.information, undefined);
  const busy = fixedSense({ 2: 2, 12: 4, 15: 0x80, 16: 0x80 });
  assertEquals(decodeSense(busy)!.progress, 0.5);
  assertEquals(decodeSense(busy.slice(0, 17))!.progress, undefined);
  // A descriptor that is too short has none of the bytes of the next one.
  for (const descriptor of [[0x00, 2, 0x80, 0], [0x02, 4, 0, 0, 0xc8, 0]]) {
    const bytes = new Uint8Array(8 + 24).fill(0xee);
    bytes.set([0x72, 5, 0x24, 0, 0, 0, 0, 24, ...descriptor], 0);
    const { information, field } = decodeSense(bytes)!;
    assertEquals([information, field], [undefined, undefined]);
  }
});

/** Makes sense data of a key, and descriptors. */
function described(key: number, ...descriptors: number[]): Uint8Array {
  const { length } = descriptors;
  return Uint8Array.of(0x72, key, 0, 0, 0, 0, 0, length, ...descriptors);
}

Deno.test("the SCSI descriptor of a direct-access block device is decoded", () => {
  const descriptor = [
    ...[0x0d, 0x1c], // type, additional length
    ...[0xa0, 0], // VALID, ILI; reserved
    ...[0xc8, 0x01, 0x02], // specific to the sense key: SKSV, C/D, BPV
    7, // field replaceable unit code
    ...[0, 0, 0, 0x01, 0x23, 0x45, 0x67, 0x89], // information
    ...[0, 0, 0, 0, 0, 0, 0, 0], // command-specific information
    ...[0, 0, 0, 0, 0, 0], // reserved
  ];
  const sense = decodeSense(described(5, ...descriptor))!;
  assertEquals(sense.information, 0x1_2345_6789n);
  assertEquals(sense.field, { in: "cdb", byte: 0x102, bit: 0 });
  assertEquals([sense.incorrectLength, sense.filemark], [true, false]);
  const medium = decodeSense(described(3, ...descriptor.with(2, 0x80)))!;
  assertEquals([medium.information, medium.field], [0x1_2345_6789n, undefined]);
  assertEquals(medium.incorrectLength, false);
  const invalid = decodeSense(described(5, ...descriptor.with(2, 0)))!;
  assertEquals(invalid.information, undefined);
  const short = decodeSense(described(5, ...descriptor.slice(0, 15)))!;
  assertEquals([short.information, short.field?.byte], [undefined, 0x102]);
});

Deno.test("the marks of SCSI tapes are decoded, and lengths below zero", () => {
  const marks = (bytes: Uint8Array) => {
    const sense = decodeSense(bytes)!;
    const { filemark, endOfMedium, incorrectLength, information, key } = sense;
    return [filemark, endOfMedium, incorrectLength, information, key];
  };
  const fixed = (mark: number, information: number[]) =>
    marks(fixedSense({ 0: 0xf0, 2: mark, ...{ ...[, , , ...information] } }));
  assertEquals(fixed(0x80, [0, 0, 0, 5]), [true, false, false, 5n, 0]);
  assertEquals(fixed(0x4d, [0, 0, 0, 5]), [false, true, false, 5n, 13]);
  assertEquals(fixed(0x20, [0, 0, 2, 0]), [false, false, true, 512n, 0]);
  // A block of 512 bytes more than the request.
  const above = [0xff, 0xff, 0xfe, 0];
  assertEquals(fixed(0x20, above), [false, false, true, -512n, 0]);
  assertEquals(fixed(0x03, above), [false, false, false, 0xffff_fe00n, 3]);
  const stream = (mark: number) => [0x04, 2, 0, mark];
  const information = [0x00, 10, 0x80, 0, ...Array(6).fill(0xff), 0xfe, 0];
  assertEquals(marks(described(0, ...stream(0x80))), [
    ...[true, false, false],
    ...[undefined, 0],
  ]);
  // The order of descriptors is free.
  for (
    const list of [[stream(0x20), information], [information, stream(0x20)]]
  ) {
    const expected = [false, false, true, -512n, 0];
    assertEquals(marks(described(0, ...list.flat())), expected);
  }
  const block = [0x05, 2, 0, 0xe0]; // Only ILI is defined.
  const expected = [false, false, true, undefined, 3];
  assertEquals(marks(described(3, ...block)), expected);
});

Deno.test("the codes of T10 have texts, and no others", () => {
  const text = (asc: number, ascq: number) =>
    decodeSense(fixedSense({ 12: asc, 13: ascq }))!.text;
  for (
    const [code, expected] of [
      [0x0000, "No additional sense information"],
      [0x0006, "I/O process terminated"],
      [0x0008, ""],
      [0x0016, "Operation in progress"],
      [0x0404, "Logical unit not ready, format in progress"],
      [0x1000, "ID CRC or ECC error"],
      [0x1801, "Recovered data with error correction and retries applied"],
      [0x2408, "Invalid XCDB"],
      [0x2a11, "Data encryption parameters changed by another I_T nexus"],
      [0x3b00, "Sequential positioning error"],
      [0x3f12, "iSCSI IP address added"],
      [0x4000, "RAM failure"],
      [0x407f, "RAM failure"],
      [0x4080, "Diagnostic failure on component 80h"],
      [0x4117, "Data path failure"],
      [0x4299, "Power-on or self-test failure"],
      [0x4d12, "Tagged overlapped commands, tag 12h"],
      [0x5dff, "Failure prediction threshold exceeded (false)"],
      [0x7007, "Decompression exception short algorithm ID of 07h"],
      [0x7479, "Security conflict in translated device"],
      [0x747a, ""],
      [0x7f00, ""],
      [0x8000, "Vendor specific"],
    ] as const
  ) {
    assertEquals(text(code >> 8, code & 0xff), expected, code.toString(16));
  }
  let known = 0;
  for (let code = 0; code < 0x8000; code++) {
    const told = text(code >> 8, code & 0xff);
    assert(!/[\n;]| {2}|undefined|^[0-9a-f]{2,4} /.test(told), told);
    if (told !== "" && told !== "Vendor specific") known++;
  }
  // 765 of the list, and those whose qualifier is a number.
  assertEquals(known, 765 + 3 * 255 + 255 + 256);
});

Deno.test("bytes that are not SCSI sense data are decoded as null", () => {
  for (
    const bytes of [
      [],
      [0],
      [0x00, 0, 3, 0, 0, 0, 0, 10],
      [0x6f, 0, 3],
      [0x74, 0, 3],
      [0x7f, 0, 3], // The vendor's own format.
      [0xff, 0, 3],
    ]
  ) {
    assertEquals(decodeSense(Uint8Array.from(bytes)), null);
  }
});

Deno.test("invalid SCSI sense data of any kind is decoded without a failure", () => {
  const next = random(71);
  for (let i = 0; i < 5_000; i++) {
    const bytes = Uint8Array.from({ length: next(64) }, () => next(256));
    if (bytes.length > 0 && i % 2 === 0) bytes[0] = 0x70 + next(4);
    // Zeros are descriptors without a length: the decoder must not loop.
    if (i % 3 === 0) bytes.fill(0, 8);
    const before = bytes.slice();
    const sense = decodeSense(bytes);
    assert(equals(bytes, before));
    const outcome = { status: 2, hostStatus: next(256), residual: 0, sense };
    const { message } = new ScsiError("SCSI READ(10)", 5, outcome);
    assert(!message.includes("undefined"), message);
    assert(!message.includes("NaN"), message);
  }
});

// ---- Errors ----------------------------------------------------------------------

/** The outcome of a command. */
interface Told {
  status?: number;
  hostStatus?: number;
  residual?: number;
  /** Sense data. */
  bytes?: Uint8Array;
}

/** Returns the error that a SCSI read makes of an outcome. */
function errorOf(
  { status = 0, hostStatus = 0, residual = 0, bytes }: Told,
): ScsiError {
  const sense = bytes ? decodeSense(bytes) : null;
  const outcome = { status, hostStatus, residual, sense };
  return new ScsiError("SCSI READ(10)", 5, outcome);
}

Deno.test("a SCSI error has every known fact", () => {
  const sense = fixedSense({ 0: 0xf0, 2: 3, 5: 0x12, 6: 0x34, 12: 0x11 });
  const error = errorOf({ status: 2, residual: 96, bytes: sense });
  assertEquals(
    error.message,
    "SCSI READ(10) on fd 5: CHECK CONDITION, Medium Error (3), " +
      "Unrecovered read error (11h/00h), information 4660",
  );
  assertEquals(error.name, "ScsiError");
  assertEquals([error.op, error.fd], ["SCSI READ(10)", 5]);
  assertEquals([error.status, error.statusName], [2, "CHECK CONDITION"]);
  assertEquals([error.hostStatus, error.hostStatusName], [0, "DID_OK"]);
  assertEquals([error.senseKey, error.senseKeyName], [3, "Medium Error"]);
  assertEquals([error.asc, error.ascq], [0x11, 0]);
  assertEquals(error.text, "Unrecovered read error");
  assertEquals(error.residual, 96);
  assertEquals(error.sense?.information, 0x1234n);
  assertEquals(error.sense?.bytes, sense);
});

Deno.test("the message of a SCSI error has words, numbers and a remedy", () => {
  const said = (told: Told) =>
    errorOf(told).message.replace("SCSI READ(10) on fd 5: ", "");
  const sense = (bytes: Record<number, number>) => ({
    status: 2,
    bytes: fixedSense(bytes),
  });
  assertEquals(
    said(sense({ 2: 5, 12: 0x24, 15: 0xc9, 17: 1 })),
    "CHECK CONDITION, Illegal Request (5), Invalid field in CDB (24h/00h), " +
      "at bit 1 of byte 1 of the CDB",
  );
  assertEquals(
    said(sense({ 2: 5, 12: 0x26, 15: 0x80, 17: 8 })),
    "CHECK CONDITION, Illegal Request (5), Invalid field in parameter list " +
      "(26h/00h), at byte 8 of the data",
  );
  assertEquals(
    said(sense({ 2: 2, 12: 0x04, 13: 0x04, 15: 0x80, 16: 0x40 })),
    "CHECK CONDITION, Not Ready (2), Logical unit not ready, format in " +
      "progress (04h/04h), 25 % done",
  );
  assertEquals(
    said(sense({ 2: 6, 12: 0x29, 13: 1 })),
    "CHECK CONDITION, Unit Attention (6), Power on occurred (29h/01h). The " +
      "device reports this once, and has not run the command. Send it again.",
  );
  assertEquals(
    said(sense({ 0: 0x71, 2: 4, 12: 0x44 })),
    "CHECK CONDITION, Hardware Error (4) of an earlier command, Internal " +
      "target failure (44h/00h)",
  );
  assertEquals(
    said(sense({ 2: 4, 12: 0x7e, 13: 0x7d })),
    "CHECK CONDITION, Hardware Error (4), additional sense (7Eh/7Dh)",
  );
  assertEquals(
    said(sense({ 2: 9, 12: 0x80, 13: 1 })),
    "CHECK CONDITION, Vendor Specific (9), Vendor specific (80h/01h)",
  );
  assertEquals(
    said(sense({ 2: 4, 12: 0x40, 13: 0x81 })),
    "CHECK CONDITION, Hardware Error (4), Diagnostic failure on component " +
      "81h (40h/81h)",
  );
  assertEquals(said({ status: 2 }), "CHECK CONDITION, but no sense data");
  assertEquals(
    said({ status: 0x18 }),
    "RESERVATION CONFLICT. Another host has reserved the device.",
  );
  assertEquals(said({ status: 0x7a }), "status 7Ah");
  assertEquals(
    said({ hostStatus: 3 }),
    "DID_TIME_OUT. The device did not answer in time, and the kernel aborted " +
      "the command. A larger timeoutMs gives the device more time.",
  );
  assertEquals(said({ hostStatus: 7 }), "DID_ERROR");
  assertEquals(said({ hostStatus: 0xee }), "host status EEh");
  assertStringIncludes(
    said({ hostStatus: 1 }),
    "DID_NO_CONNECT. The device is",
  );
  assertStringIncludes(said({ status: 8 }), "BUSY. ");
  assertStringIncludes(said({ status: 0x28 }), "TASK SET FULL. ");
});

Deno.test("the outcome that a SCSI error is made of is checked", () => {
  const sense = decodeSense(fixedSense({ 2: 3, 12: 0x11 }))!;
  const outcome = { status: 2, hostStatus: 0, residual: 0, sense };
  const make = (wrong: Record<string, unknown>) => () =>
    new ScsiError("SCSI READ(10)", 5, { ...outcome, ...wrong });
  assertEquals(make({})().asc, 0x11);
  for (const value of [-1, 0.5, 256, NaN]) {
    for (const name of ["status", "hostStatus"]) {
      assertThrows(make({ [name]: value }), RangeError, name);
    }
    for (const name of ["key", "asc", "ascq"]) {
      const wrong = { sense: { ...sense, [name]: value } };
      assertThrows(make(wrong), RangeError, `sense.${name}`);
    }
  }
  for (const name of ["key", "asc", "ascq"]) {
    for (const value of [undefined, "17", null]) {
      const wrong = { sense: { ...sense, [name]: value } };
      assertThrows(make(wrong), TypeError, `sense.${name}`);
    }
  }
  assertThrows(make({ residual: 2 ** 32 }), RangeError, "residual");
  assertThrows(make({ sense: undefined }), TypeError, "sense");
});
