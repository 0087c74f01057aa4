/** The disk of scsi_debug in a guest of the laboratory, which tests may destroy. */

/** Returns the names in a folder; none if it is not there. */
export function list(path: string): string[] {
  try {
    return [...Deno.readDirSync(path)].map(({ name }) => name);
  } catch {
    return [];
  }
}

/** The name of the disk's node in /dev/bsg; `undefined` without the disk. */
export const node: string | undefined = list("/sys/class/bsg").find((name) => {
  try {
    const model = Deno.readTextFileSync(`/sys/class/bsg/${name}/device/model`);
    return model.trim() === "scsi_debug";
  } catch {
    return false;
  }
});

/** The folder of the disk in /sys. */
export const device = `/sys/class/bsg/${node}/device`;

/** The name of the disk, such as `sda`; `undefined` without it. */
export const [disk] = list(`${device}/block`) as (string | undefined)[];

/** The name of the disk's older node for commands, such as `sg0`. */
export const [generic] = list(`${device}/scsi_generic`) as (
  | string
  | undefined
)[];
