/**
 * What robson.example.toml says of each section and key: the lines of comment right above it. A line with a space behind
 * its `#` is comment; one without is a key or a section that the example only shows.
 */

export interface ExampleComments {
  /** By path: `workflow.limits`. */
  sections: Map<string, string>;
  /** By path and key: `workflow.limits.git_timeout_ms`. */
  keys: Map<string, string>;
}

export function readExample(text: string): ExampleComments {
  const comments: ExampleComments = { sections: new Map(), keys: new Map() };
  let section = "";
  let above: string[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("# ")) {
      above.push(line.slice(2));
      continue;
    }
    const [, header] = /^#?\[{1,2}([\w.]+)\]{1,2}$/.exec(line) ?? [];
    const [, key] = /^#?(\w+) = /.exec(line) ?? [];
    if (header !== undefined) section = header;
    if (above.length > 0) {
      const words = above.join(" ");
      if (header !== undefined) comments.sections.set(header, words);
      if (key !== undefined) comments.keys.set(`${section}.${key}`, words);
      // A section without keys has its words below its header.
      if (line === "" && !comments.sections.has(section)) comments.sections.set(section, words);
    }
    above = [];
  }
  return comments;
}
