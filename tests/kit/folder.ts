/** A folder for the files of one test. */

import { utf8 } from "./bytes.ts";

/** A new folder, which is removed with all that is in it. */
export class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync();

  file(name: string, content: Uint8Array | string = ""): string {
    const path = `${this.path}/${name}`;
    const bytes = typeof content === "string" ? utf8(content) : content;
    Deno.writeFileSync(path, bytes);
    return path;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}
