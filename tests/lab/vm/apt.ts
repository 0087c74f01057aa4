/**
 * Fetches Debian packages of any suite and architecture from the archive that this
 * machine uses, and unpacks each into a folder. Installs nothing.
 *
 * @module
 */

import { exists } from "../../kit/exists.ts";
import { output } from "../../kit/run.ts";

/** An architecture, in Debian's words. */
export type DebianArch = "amd64" | "arm64";

const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** apt with package lists and a status file of its own. */
export class Apt {
  readonly #folder: string;
  readonly #options: readonly string[];

  private constructor(folder: string, arch: DebianArch) {
    this.#folder = folder;
    this.#options = [
      `Dir::Etc::SourceList=${folder}/sources.list`,
      "Dir::Etc::SourceParts=-",
      `Dir::State::Lists=${folder}/lists`,
      // An empty status: apt takes every dependency for missing.
      `Dir::State::status=${folder}/status`,
      `Dir::Cache=${folder}`,
      `APT::Architecture=${arch}`,
      `APT::Architectures=${arch}`,
      "APT::Sandbox::User=root",
      "Acquire::Languages=none",
    ].flatMap((option) => ["-o", option]);
  }

  /** Opens the package lists under `cache`. Fetches them if absent or `update`. */
  static async open(
    cache: string,
    arch: DebianArch,
    suites: readonly string[],
    update: boolean,
  ): Promise<Apt> {
    const folder = `${cache}/apt-${arch}`;
    const apt = new Apt(folder, arch);
    const sources = `${folder}/sources.list`;
    if (exists(sources) && !update) return apt;
    const archive = await apt.#archive();
    for (const path of ["lists", "archives"]) {
      await Deno.mkdir(`${folder}/${path}/partial`, { recursive: true });
    }
    await Deno.writeTextFile(`${folder}/status`, "");
    await Deno.writeTextFile(
      sources,
      suites.map((suite) =>
        `deb [signed-by=${KEYS}] ${archive} ${suite} main\n`
      )
        .join(""),
    );
    try {
      await apt.#get("update");
    } catch (error) {
      // The next run must not use incomplete lists.
      await Deno.remove(sources);
      throw error;
    }
    return apt;
  }

  /**
   * Unpacks packages of a suite and their dependencies, except those whose names
   * do not match `only`. Returns one folder for each.
   */
  async unpack(
    suite: string,
    names: readonly string[],
    only = /^/,
  ): Promise<string[]> {
    const uris = await this.#get(
      ...["install", "--print-uris", "--yes", "--no-install-recommends"],
      ...["--target-release", suite, ...names],
    );
    // One line for each package: address, file, size and hash.
    const files = [...uris.matchAll(/^'\S+' (\S+)\.deb \d+/gm)]
      .map(([, file]) => decodeURIComponent(file))
      .filter((file) => only.test(file));
    if (files.length === 0) throw new Error(`${suite} has no ${names.join()}`);
    const missing: string[] = [];
    for (const file of files) {
      if (!exists(`${this.#folder}/${file}`)) missing.push(file);
    }
    if (missing.length > 0) await this.#fetch(missing);
    return files.map((file) => `${this.#folder}/${file}`);
  }

  async #fetch(files: readonly string[]): Promise<void> {
    const partial = `${this.#folder}/partial`;
    if (exists(partial)) await Deno.remove(partial, { recursive: true });
    await Deno.mkdir(partial);
    const wanted = files.map((file) => file.split("_", 2).join("="));
    await output("apt-get", [...this.#options, "-q", "download", ...wanted], {
      cwd: partial,
    });
    for (const { name } of [...Deno.readDirSync(partial)]) {
      await output("dpkg-deb", ["-x", name, "root"], { cwd: partial });
      const file = decodeURIComponent(name.replace(/\.deb$/, ""));
      await Deno.rename(`${partial}/root`, `${this.#folder}/${file}`);
    }
    await Deno.remove(partial, { recursive: true });
  }

  /** Returns the address of the Debian archive that this machine uses. */
  async #archive(): Promise<string> {
    const targets = await output("apt-get", [
      ...["indextargets", "--format", "$(REPO_URI)", "Origin: Debian"],
      ...["Label: Debian", "Component: main", "Created-By: Packages"],
    ]);
    const [archive] = targets.split("\n");
    if (archive) return archive;
    throw new Error("apt knows no archive of Debian on this machine");
  }

  #get(...args: string[]): Promise<string> {
    return output("apt-get", [...this.#options, "-q", ...args]);
  }
}
