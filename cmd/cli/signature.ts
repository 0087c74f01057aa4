/** The formats on a disk, by their magic bytes. */

const ascii = (text: string) => new TextEncoder().encode(text);

/** Formats, each with its magic bytes and their place, as in libblkid's list. */
const FORMATS: readonly (readonly [string, number, Uint8Array])[] = [
  ["an ext2, ext3 or ext4 file system", 0x438, Uint8Array.of(0x53, 0xef)],
  ["an XFS file system", 0, ascii("XFSB")],
  ["a btrfs file system", 0x1_0040, ascii("_BHRfS_M")],
  ["an F2FS file system", 0x400, Uint8Array.of(0x10, 0x20, 0xf5, 0xf2)],
  ["a bcachefs file system", 0x1018, Uint8Array.of(0xc6, 0x85, 0x73, 0xf6)],
  ["an NTFS file system", 3, ascii("NTFS    ")],
  ["an exFAT file system", 3, ascii("EXFAT   ")],
  ["a FAT file system", 0x36, ascii("FAT")],
  ["a FAT file system", 0x52, ascii("FAT32")],
  ["a LUKS volume", 0, Uint8Array.of(0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe)],
  ["an LVM physical volume", 0x200, ascii("LABELONE")],
  ["a member of a RAID", 0x1000, Uint8Array.of(0xfc, 0x4e, 0x2b, 0xa9)],
  ["a swap area", 4086, ascii("SWAPSPACE2")],
  ["a GPT partition table", 512, ascii("EFI PART")],
  ["a GPT partition table", 4096, ascii("EFI PART")],
  ["a partition table or a boot sector", 510, Uint8Array.of(0x55, 0xaa)],
];

/** Bytes from the start of a disk that {@linkcode formatOf} looks at. */
export const SIGNATURE_BYTES = 0x1_1000;

/** Returns what the start of a disk says is on it; `undefined` if nothing known. */
export function formatOf(start: Uint8Array): string | undefined {
  return FORMATS.find(([, at, magic]) =>
    magic.every((byte, i) => start[at + i] === byte)
  )?.[0];
}
