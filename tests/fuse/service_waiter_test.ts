/** Notifications by the service that has the requests, on a socket. */

import { assertEquals, assertRejects } from "@std/assert";
import { ServiceWaiter } from "../../cmd/fuse/service_waiter.ts";
import { Service } from "../../ring/service/service.ts";
import { close } from "../../sys/file.ts";
import { fakeDevice } from "./fake_device.ts";

Deno.test("a message that is too large holds up no other", async () => {
  const { fd, kernel } = fakeDevice();
  const service = Service.open({ tags: ServiceWaiter.TAGS });
  const waiter = new ServiceWaiter(fd, service, 0);
  const endless = { length: 2 ** 50 } as Uint8Array;
  await assertRejects(() => waiter.send(endless));
  assertEquals(await waiter.send(new Uint8Array(8)), 0);
  await waiter.stop();
  assertEquals(await waiter.send(new Uint8Array(8)), -107);
  close(fd);
  close(kernel);
});
