import { close, open } from "./file.ts";
import { syscall } from "./libc.ts";
import { scratch } from "./scratch.ts";

/** The entry of the auxiliary vector with the size of a page. */
const AT_PAGESZ = 6;

/** Returns the bytes of a page: 4096, or up to 65536 on aarch64. */
export function pageSize(): number {
  const fd = open("/proc/self/auxv");
  if (fd < 0) return 4096;
  const { view, bytes, at } = scratch();
  const length = syscall("read", fd, at, bytes.length);
  close(fd);
  for (let entry = 0; entry + 16 <= length; entry += 16) {
    if (view.getUint32(entry, true) !== AT_PAGESZ) continue;
    return view.getUint32(entry + 8, true);
  }
  return 4096;
}
