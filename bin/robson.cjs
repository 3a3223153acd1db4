#!/usr/bin/env node
// Starts Robson on a Node that can run it; ES5, so that a Node of any age can read it. Under a new enough one it
// goes on in this process, in a checkout it starts again under the Node that npm installed there, else it says
// what to install.
// biome-ignore-all lint: the rules ask for newer JavaScript
var fs = require("fs");
var path = require("path");
var root = path.join(__dirname, "..");
var checkoutNode = path.join(root, "node_modules", ".bin", "node");
var version = process.versions.node.split(".").map(Number);

if (version[0] > 24 || (version[0] === 24 && version[1] >= 15)) {
  // In a checkout the sources, even beside a build: that one is as old as the last "npm run build" or "npm test".
  // What was compiled at the last start is not compiled again. In a folder of the user's own: who can write there
  // decides what runs here.
  var caches = process.env.XDG_CACHE_HOME || path.join(require("os").homedir(), ".cache");
  require("module").enableCompileCache(path.join(caches, "robson"));
  // Killed, the launcher (below) passes nothing on: whoever started it believes that Robson is gone, so it stops. A
  // channel of anyone else's says nothing of that.
  if (process.env.ROBSON_LAUNCHER && process.channel) {
    process.on("disconnect", function () {
      process.kill(process.pid, "SIGTERM");
    });
    process.channel.unref();
  }
  delete process.env.ROBSON_LAUNCHER;
  var source = path.join(root, "src", "cli", "main.ts");
  require(fs.existsSync(source) ? source : path.join(root, "dist", "cli", "main.js"));
} else if (fs.existsSync(checkoutNode)) {
  var child = require("child_process").spawn(checkoutNode, [__filename].concat(process.argv.slice(2)), {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: Object.assign({}, process.env, { ROBSON_LAUNCHER: "1" }),
  });
  // The terminal sends its Ctrl-C to both processes; only what was sent to this one alone is passed on.
  process.on("SIGINT", function () {
    return undefined;
  });
  ["SIGTERM", "SIGHUP"].forEach(function (signal) {
    process.on(signal, function () {
      child.kill(signal);
    });
  });
  child.on("exit", function (code, signal) {
    process.exit(code === null ? 128 + require("os").constants.signals[signal] : code);
  });
} else {
  process.stderr.write(
    "Cannot start robson: it needs Node.js 24.15 or later, and this is " + process.versions.node + "\n",
  );
  process.stderr.write(
    "hint: Install a newer Node.js (nodejs.org), or one beside it with a version manager\n",
  );
  process.exitCode = 2;
}
