/** Kills the process when it has not heard of its main thread for too long. */

declare const self: {
  onmessage: (
    event: MessageEvent<{ text: string; patienceMs: number }>,
  ) => void;
};

let timer: ReturnType<typeof setTimeout> | undefined;

self.onmessage = ({ data: { text, patienceMs } }) => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    console.error(
      `STUCK in a call that blocks the thread. Before it:\n${text}`,
    );
    Deno.kill(Deno.pid, "SIGKILL");
  }, patienceMs);
};
