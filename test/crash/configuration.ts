/** The robson.toml of an agent that a test kills or disturbs. */

export function configuration({
  location,
  port,
  more = "",
}: {
  /** Of its database. */
  location: string;
  port: number;
  /** More of `[limits]`, and what follows it. */
  more?: string;
}): string {
  return `[database]
url = "${location}"
[server]
port = ${port}
[webhook]
allow_callback_hosts = ["127.0.0.1"]
[limits]
backoff_base_ms = 50
${more}
`;
}
