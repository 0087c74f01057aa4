/** Serves a filesystem in this thread. */

import { close } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { checkFunction, checkObject } from "../../ring/check.ts";
import { backingDevice } from "./backing.ts";
import type { Device } from "./classic.ts";
import type { FileSystem } from "./file_system.ts";
import type { Inbox } from "./inbox.ts";
import type { Agreement, Wishes } from "./init.ts";
import type { NodeFileSystem } from "./nodes.ts";
import { entryMessage, inodeMessage, storeMessage } from "./notifications.ts";
import { type MountOptions, wishesOf } from "./options.ts";
import { pathsOf } from "./paths.ts";
import type {
  InvalidateOptions,
  MountStats,
  Protocol,
  Ready,
  Served,
} from "./served.ts";
import { type AnyNode, Server } from "./server.ts";
import { Session } from "./session.ts";
import type { Transport, TransportName } from "./transport.ts";
import { transportFor } from "./transports.ts";

/** A filesystem for the server, and the way from a path to its nodes. */
interface Files {
  readonly fs: NodeFileSystem<AnyNode>;
  /** Returns the node of a path, or that of its directory. */
  find(path: string): AnyNode | undefined;
  serve(server: Server): void;
}

function withPaths<H>(user: FileSystem<H>): Files {
  const paths = pathsOf(user);
  return {
    fs: paths.fs as NodeFileSystem<AnyNode>,
    find: (path) => paths.tree.find(path),
    serve: ({ nodes }) => paths.known = (node) => nodes.idOf(node) !== 0,
  };
}

function nodesOnly(fs: NodeFileSystem<AnyNode>): Files {
  return { fs, find: () => undefined, serve: () => {} };
}

/**
 * Gets a filesystem ready. `release` is called in place of closing the descriptor, if
 * another thread owns it.
 */
export async function readyHere(
  fs: FileSystem | NodeFileSystem<AnyNode>,
  options: MountOptions,
  release?: () => void,
): Promise<Ready> {
  const { getattr } = checkObject("fs", fs);
  if (getattr === undefined) {
    throw new TypeError("a filesystem must have the method getattr");
  }
  checkFunction("getattr", getattr);
  const files = "root" in fs ? nodesOnly(fs) : withPaths(fs);
  const wishes = wishesOf(files.fs, options);
  await files.fs.init?.();
  let begun = false;
  return {
    serve: async (fd) => {
      const device: Device = {
        fd,
        close: release ?? (() => close(fd)),
        lent: release !== undefined,
      };
      let here: Here;
      try {
        here = new Here(device, files, wishes, options);
      } catch (error) {
        device.close();
        throw error;
      }
      begun = true; // Its end calls destroy().
      try {
        await here.begin();
        return here;
      } catch (error) {
        here.abort();
        throw error;
      }
    },
    drop: () => {
      if (begun) return;
      // What it throws matters less than why it is not mounted.
      const end = async () => await files.fs.destroy?.();
      end().catch(() => {});
    },
  };
}

/** A filesystem that is served in this thread. */
class Here implements Served {
  readonly ended: Promise<number>;
  readonly #files: Files;
  readonly #server: Server;
  readonly #transport: Transport;
  readonly #session: Session;
  #agreement: Agreement | null = null;

  constructor(
    device: Device,
    files: Files,
    wishes: Wishes,
    options: MountOptions,
  ) {
    this.#files = files;
    this.#server = new Server(files.fs, {
      entryTtlMs: options.entryTtlMs ?? 1000,
      attrTtlMs: options.attrTtlMs ?? 1000,
      negativeTtlMs: options.negativeTtlMs ?? 0,
      directIo: options.directIo ?? false,
      keepCache: options.keepCache ?? false,
      defaults: {
        uid: syscall("geteuid"),
        gid: syscall("getegid"),
        time: Date.now(),
      },
    }, backingDevice(device.fd));
    files.serve(this.#server);
    const transport = this.#transport = transportFor(device, wishes, options);
    const flags = transport.name === "io_uring"
      ? [...wishes.flags, "OVER_IO_URING" as const]
      : wishes.flags;
    this.#session = new Session(this.#server, transport, {
      wishes: { ...wishes, flags },
      timeoutMs: options.timeoutMs ?? 0,
      onError: options.onError,
    });
    this.ended = this.#session.finished.then(async (errno) => {
      await files.fs.destroy?.();
      return errno;
    });
    this.ended.catch(() => {});
  }

  /** Serves until the kernel has agreed, and from then on. */
  async begin(): Promise<void> {
    this.#transport.start(this.#session);
    this.#agreement = await this.#session.ready;
  }

  get transport(): TransportName {
    return this.#transport.name;
  }

  get how(): string {
    return this.#transport.how;
  }

  get protocol(): Protocol {
    return this.#agreement!;
  }

  abort(): void {
    this.#transport.abort();
  }

  async invalidate(
    file: string | object,
    { data = true, entry = true, expire = false }: InvalidateOptions,
  ): Promise<boolean> {
    const { nodes } = this.#server;
    const node = this.#find(file);
    let known = false;
    const send = async (message: Uint8Array) => {
      known = await this.#server.notify(message) === 0 || known;
    };
    const id = node === undefined ? 0 : nodes.idOf(node);
    // From -1 on, there is no data.
    if (id !== 0) await send(inodeMessage(id, data ? 0 : -1));
    if (typeof file !== "string") return known;
    const slash = file.lastIndexOf("/");
    const parent = this.#files.find(file.slice(0, Math.max(slash, 0)));
    const name = file.slice(slash + 1);
    const parentId = parent === undefined ? 0 : nodes.idOf(parent);
    if (entry && name !== "" && parentId !== 0) {
      await send(entryMessage(parentId, name, expire));
    }
    return known;
  }

  #find(file: string | object): AnyNode | undefined {
    return typeof file === "string" ? this.#files.find(file) : file;
  }

  async store(
    file: string | object,
    offset: number,
    data: Uint8Array,
  ): Promise<boolean> {
    const node = this.#find(file);
    const id = node === undefined ? 0 : this.#server.nodes.idOf(node);
    if (id === 0) return false;
    return await this.#server.notify(storeMessage(id, offset, data)) === 0;
  }

  stats(): Promise<MountStats> {
    return Promise.resolve(this.#session.stats());
  }

  sleep(stopFd: number, inbox: Inbox): void {
    this.#transport.sleep?.(stopFd, inbox).catch((error) => {
      reportError(error);
      this.abort();
    });
  }

  ref(): void {
    this.#session.ref();
  }

  unref(): void {
    this.#session.unref();
  }
}
