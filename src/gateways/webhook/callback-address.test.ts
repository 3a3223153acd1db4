import { expect, test } from "vitest";
import { checkChannelId, type Lookup, parseAllowedHosts } from "./callback-address.ts";
import { webhook } from "./index.ts";
import { aDelivery, failureOf, startReceiver, withStatus } from "./test-receiver.ts";

const signal = new AbortController().signal;

/** A name server that gives the n-th answer to the n-th question, and then the last one. */
function lookupOf(...answers: string[][]): Lookup & { questions: string[] } {
  const questions: string[] = [];
  const lookup = async (hostname: string) => {
    questions.push(hostname);
    const addresses = answers[Math.min(questions.length, answers.length) - 1] ?? [];
    return addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
  };
  return Object.assign(lookup, { questions });
}

test.each([
  "http://127.0.0.1/",
  "http://127.0.0.1:8080/hook",
  "http://127.1/",
  "http://2130706433/",
  "http://0x7f000001/",
  "http://0x7f.0.0.1/",
  "http://0177.0.0.1/",
  "http://１２７.0.0.1/",
  "http:127.0.0.1",
  "  http://127.0.0.1/",
  "http://\t127.0.0.1/",
  "http://127.0.0.1./",
  "http://0.0.0.0/",
  "http://0/",
  "http://10.1.2.3/",
  "http://172.16.0.1/",
  "http://192.168.1.1/",
  "http://100.64.0.1/",
  "http://169.254.169.254/latest/meta-data",
  "http://168.63.129.16/machine",
  "http://[::ffff:168.63.129.16]/",
  "http://224.0.0.1/",
  "http://240.0.0.1/",
  "http://255.255.255.255/",
  "http://198.18.0.1/",
  "http://[::1]/",
  "http://[::]/",
  "http://[::ffff:127.0.0.1]/",
  "http://[::ffff:7f00:1]/",
  "http://[::ffff:169.254.169.254]/",
  "http://[::127.0.0.1]/",
  "http://[64:ff9b::7f00:1]/",
  "http://[2002:7f00:1::]/",
  "http://[2001:0:5ef5:79fd::1]/",
  "http://[64:ff9b:1::7f00:1]/",
  "http://[::ffff:0:127.0.0.1]/",
  "http://192.0.0.1/",
  "http://192.88.99.1/",
  "http://017700000001/",
  "http://0x7f.1/",
  "http://[fe80::1]/",
  "http://[fc00::1]/",
  "http://[fd00:ec2::254]/",
  "http://[ff02::1]/",
  "http://localhost/",
  "http://localhost./",
  "http://LOCALHOST:9/",
  "http://hooks.localhost/",
  "https://user:secret@hooks.example/",
  "https://user@hooks.example/",
  "ftp://hooks.example/",
  "file:///etc/passwd",
  "gopher://127.0.0.1:70/",
  "http://[bad/",
  "http://",
])("%s is refused on its face", (channelId) => {
  expect(() => checkChannelId(channelId, parseAllowedHosts([]))).toThrow(
    expect.objectContaining({ code: "CALLBACK_REFUSED", hint: expect.any(String) }),
  );
});

test.each([
  "https://hooks.example/robson?x=1",
  "http://93.184.216.34/",
  "http://[2606:4700:4700::1111]/",
  "http://[::ffff:93.184.216.34]/",
  "http://localhost.example/",
  "webhook",
  "team:general",
  "C0123",
  "",
  "👩‍👩‍👧",
])("%s may be a channel id", (channelId) => {
  expect(() => checkChannelId(channelId, parseAllowedHosts([]))).not.toThrow();
});

test("a refusal neither shows the credentials nor the path of the URL", () => {
  const message = captured(() => checkChannelId("https://ada:secret@hooks.example/token", new Set()));

  expect(message).toContain("https://hooks.example");
  expect(message).not.toMatch(/secret|token/);
});

test("an allowed host is lifted for all of its notations and only its port", () => {
  const allowed = parseAllowedHosts(["127.0.0.1:8080", "::1", "[fd00::1]:9", "Hooks.Internal"]);
  const isRefused = (url: string) => captured(() => checkChannelId(url, allowed)) !== "";

  expect(isRefused("http://127.0.0.1:8080/")).toBe(false);
  expect(isRefused("http://2130706433:8080/")).toBe(false);
  expect(isRefused("http://127.0.0.1:8081/")).toBe(true);
  expect(isRefused("http://127.0.0.1/")).toBe(true);
  expect(isRefused("http://[::1]:1234/")).toBe(false);
  expect(isRefused("http://[fd00::1]:9/")).toBe(false);
  expect(isRefused("http://[fd00::1]:90/")).toBe(true);
  expect(parseAllowedHosts(["HTTPS.example:443"])).toEqual(new Set(["https.example:443"]));
});

test.each([
  "",
  "https://hooks.internal",
  "hooks.internal/path",
  "a:b:c",
  "user@host",
  "host:99999",
  "host:",
  "*?",
])('the allowed host "%s" is a set-up mistake', (entry) => {
  expect(() => webhook({ allowCallbackHosts: [entry] })).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID" }),
  );
});

test.each([
  ["127.0.0.1"],
  ["::1"],
  ["::ffff:127.0.0.1"],
  ["10.0.0.1"],
  ["169.254.169.254"],
  ["fe80::1%eth0"],
])("a name that resolves to %s is refused for good", async (address) => {
  const receiver = await startReceiver();
  const gateway = webhook({ lookup: lookupOf([address]) });

  const target = `http://hooks.example:${receiver.port}/`;
  const failure = await failureOf(gateway.send(aDelivery({ target }), { signal }));

  expect(failure).toMatchObject({ retry: "never", code: "CALLBACK_REFUSED", hint: expect.any(String) });
  expect(receiver.connections.made).toBe(0);
});

test("a name that has a private address beside a public one is refused", async () => {
  const receiver = await startReceiver();
  const gateway = webhook({ lookup: lookupOf(["3ffe::1", "127.0.0.1"]) });

  const target = `http://hooks.example:${receiver.port}/`;
  const failure = await failureOf(gateway.send(aDelivery({ target }), { signal }));

  expect(failure.code).toBe("CALLBACK_REFUSED");
});

test("a name whose address changes between check and connection reaches nothing private", async () => {
  const receiver = await startReceiver();
  // 3ffe::/16 counts as public and is routed nowhere.
  const lookup = lookupOf(["3ffe::1"], ["127.0.0.1"]);
  const gateway = webhook({ lookup, sendTimeoutMs: 200 });
  const target = `http://rebinding.example:${receiver.port}/`;

  const first = await failureOf(gateway.send(aDelivery({ target }), { signal }));
  expect(lookup.questions).toEqual(["rebinding.example"]);
  const second = await failureOf(gateway.send(aDelivery({ target }), { signal }));

  expect(first.retry).toBe("later");
  expect(second).toMatchObject({ retry: "never", code: "CALLBACK_REFUSED" });
  expect(receiver.connections.made).toBe(0);
});

test("an allowed name is delivered to although its address is private", async () => {
  const receiver = await startReceiver();
  const gateway = webhook({ allowCallbackHosts: ["hooks.internal"], lookup: lookupOf(["127.0.0.1"]) });

  await gateway.send(aDelivery({ target: `http://hooks.internal:${receiver.port}/` }), { signal });

  expect(receiver.received).toHaveLength(1);
});

test("a delivery whose target is a private address or no URL is refused when sent, too", async () => {
  const receiver = await startReceiver();

  for (const target of [receiver.url, `http://[::ffff:127.0.0.1]:${receiver.port}/`]) {
    const failure = await failureOf(webhook().send(aDelivery({ target }), { signal }));
    expect(failure).toMatchObject({ retry: "never", code: "CALLBACK_REFUSED" });
  }
  expect((await failureOf(webhook().send(aDelivery({ target: "webhook" }), { signal }))).retry).toBe("never");
  expect(receiver.connections.made).toBe(0);
});

test.each([307, 308])("a redirect %i keeps the POST, its body and its id", async (status) => {
  const receiver = await startReceiver(withStatus(status, { location: "/moved?a=1" }), withStatus(200));
  const gateway = webhook({ allowCallbackHosts: ["127.0.0.1"] });

  await gateway.send(aDelivery({ target: receiver.url }), { signal });

  const [first, second] = receiver.received;
  expect(second).toMatchObject({ method: "POST", path: "/moved?a=1", body: first?.body });
  expect(second?.headers["webhook-id"]).toBe(first?.headers["webhook-id"]);
});

test.each([301, 302, 303])("a redirect %i is permanent, since the POST would be lost", async (status) => {
  const receiver = await startReceiver(withStatus(status, { location: "/moved" }));
  const gateway = webhook({ allowCallbackHosts: ["127.0.0.1"] });

  const failure = await failureOf(gateway.send(aDelivery({ target: receiver.url }), { signal }));

  expect(failure).toMatchObject({ retry: "never", hint: expect.stringContaining("307") });
  expect(receiver.received).toHaveLength(1);
});

test("three redirects are followed, a fourth is not", async () => {
  const again = withStatus(307, { location: "/hook" });
  const three = await startReceiver(again, again, again, withStatus(200));
  const four = await startReceiver(again, again, again, again, withStatus(200));
  const gateway = webhook({ allowCallbackHosts: ["127.0.0.1"] });

  await gateway.send(aDelivery({ target: three.url }), { signal });
  const failure = await failureOf(gateway.send(aDelivery({ target: four.url }), { signal }));

  expect(three.received).toHaveLength(4);
  expect(failure).toMatchObject({ retry: "never", message: expect.stringContaining("3 redirects") });
  expect(four.received).toHaveLength(4);
});

test("a redirect to what may not be called back is refused, also when only its name leads there", async () => {
  const inner = await startReceiver();
  const targets = [
    `http://2130706433:${inner.port}/`,
    `http://inner.example:${inner.port}/`,
    "http://169.254.169.254/",
    "http://ada:secret@hooks.example/",
    "ftp://hooks.example/",
  ];

  for (const location of targets) {
    const outer = await startReceiver(withStatus(307, { location }));
    const gateway = webhook({ allowCallbackHosts: [outer.host], lookup: lookupOf(["127.0.0.1"]) });
    const failure = await failureOf(gateway.send(aDelivery({ target: outer.url }), { signal }));
    expect(failure).toMatchObject({ retry: "never", code: "CALLBACK_REFUSED" });
  }
  expect(inner.connections.made).toBe(0);
});

test("a redirect without a usable location is permanent", async () => {
  const receiver = await startReceiver(withStatus(307), withStatus(308, { location: "http://[" }));
  const gateway = webhook({ allowCallbackHosts: ["127.0.0.1"] });

  for (let index = 0; index < 2; index += 1) {
    const failure = await failureOf(gateway.send(aDelivery({ target: receiver.url }), { signal }));
    expect(failure).toMatchObject({ retry: "never", message: expect.stringContaining("location") });
  }
});

function captured(action: () => void): string {
  try {
    action();
    return "";
  } catch (error) {
    return String(error);
  }
}
