/**
 * The system calls that a program in the bubblewrap sandbox is refused (EPERM): those that need rights which it does
 * not have anyway, those that reach what no namespace keeps apart (the kernel's keys, the terminal's input), and
 * io_uring, which would go round the rest. A list of refusals, not of permissions: compilers, debuggers and test
 * suites must go on. The bytes are a classic BPF program as bubblewrap's `--seccomp` takes it.
 */

/** Numbers differ by machine; `[x64, arm64]`. From 424 on they are the same everywhere. */
const REFUSED_CALLS: Record<string, readonly [number, number | undefined]> = {
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  unshare: [272, 97],
  setns: [308, 268],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  swapon: [167, 224],
  swapoff: [168, 225],
  quotactl: [179, 60],
  acct: [163, 89],
  reboot: [169, 142],
  syslog: [103, 116],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  iopl: [172, undefined],
  ioperm: [173, undefined],
};

/**
 * The calls that give a file its mode, and which of their arguments that is. A setuid file would be one on the machine too,
 * there its owner's: where Robson runs as root, root's. So no file gets that bit.
 */
const MODE_CALLS: {
  numbers: readonly [number | undefined, number | undefined];
  mode: number;
  flags?: number;
}[] = [
  { numbers: [90, undefined], mode: 1 }, // chmod
  { numbers: [91, 52], mode: 1 }, // fchmod
  { numbers: [268, 53], mode: 2 }, // fchmodat
  { numbers: [452, 452], mode: 2 }, // fchmodat2
  { numbers: [133, undefined], mode: 1 }, // mknod
  { numbers: [259, 33], mode: 2 }, // mknodat
  { numbers: [85, undefined], mode: 1 }, // creat
  { numbers: [2, undefined], flags: 1, mode: 2 }, // open
  { numbers: [257, 56], flags: 2, mode: 3 }, // openat
];
/** Takes its mode from memory, where no filter can look. Programs that know it go on without. */
const OPENAT2 = 437;

/** What writes into a terminal's input, as if its owner had typed it. */
const REFUSED_IOCTLS = { TIOCSTI: 0x5412, TIOCLINUX: 0x541c };

interface Machine {
  /** AUDIT_ARCH_…: as which machine the call was made; another one has other numbers. */
  audit: number;
  column: 0 | 1;
  ioctl: number;
}

const MACHINES: Partial<Record<string, Machine>> = {
  x64: { audit: 0xc000_003e, column: 0, ioctl: 16 },
  arm64: { audit: 0xc000_00b7, column: 1, ioctl: 29 },
};

const LOAD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_AT_LEAST = 0x35;
const JUMP_IF_ANY_BIT = 0x45;
const RETURN = 0x06;
const ALLOW = 0x7fff_0000;
const REFUSE_WITH_EPERM = 0x0005_0001;
const REFUSE_WITH_ENOSYS = 0x0005_0026;
const SETUID_BIT = 0o4000;
/** O_CREAT and O_TMPFILE: without them, `open` has no mode. */
const CREATING_FLAGS = 0x40_0040;
/** Offsets in `struct seccomp_data`. The low half of an argument comes first on both machines. */
const NUMBER_AT = 0;
const AUDIT_AT = 4;
const ARGUMENTS_AT = 16;
/** x86 programs of the x32 kind, which have numbers of their own from here on. */
const X32_NUMBERS = 0x4000_0000;

/** The filter for programs of this machine; undefined where the numbers of its calls are not known here. */
export function seccompFilter(machine: string = process.arch): Buffer | undefined {
  const known = MACHINES[machine];
  if (known === undefined) return undefined;
  const refuse = [instruction(RETURN, REFUSE_WITH_EPERM)];
  const ioctls = Object.values(REFUSED_IOCTLS);
  const program = [
    instruction(LOAD, AUDIT_AT),
    instruction(JUMP_IF_EQUAL, known.audit, { ifTrue: 1 }),
    ...refuse,
    instruction(LOAD, NUMBER_AT),
    instruction(JUMP_IF_AT_LEAST, X32_NUMBERS, { ifFalse: 1 }),
    ...refuse,
    ...Object.values(REFUSED_CALLS)
      .map((numbers) => numbers[known.column])
      .filter((number) => number !== undefined)
      .flatMap((number) => [instruction(JUMP_IF_EQUAL, number, { ifFalse: 1 }), ...refuse]),
    instruction(JUMP_IF_EQUAL, OPENAT2, { ifFalse: 1 }),
    instruction(RETURN, REFUSE_WITH_ENOSYS),
    ...MODE_CALLS.flatMap(({ numbers, ...call }) => refuseSetuid(numbers[known.column], call)),
    ...whenCall(known.ioctl, [
      loadArgument(1),
      ...ioctls.flatMap((request) => [instruction(JUMP_IF_EQUAL, request, { ifFalse: 1 }), ...refuse]),
    ]),
    instruction(RETURN, ALLOW),
  ];
  return Buffer.concat(program);
}

function refuseSetuid(
  number: number | undefined,
  { mode, flags }: { mode: number; flags?: number },
): Buffer[] {
  if (number === undefined) return [];
  const creates =
    flags === undefined
      ? []
      : [loadArgument(flags), instruction(JUMP_IF_ANY_BIT, CREATING_FLAGS, { ifFalse: 3 })];
  return whenCall(number, [
    ...creates,
    loadArgument(mode),
    instruction(JUMP_IF_ANY_BIT, SETUID_BIT, { ifFalse: 1 }),
    instruction(RETURN, REFUSE_WITH_EPERM),
  ]);
}

/** What is done for one call alone; it ends with the call allowed, since the number is no longer at hand. */
function whenCall(number: number, instructions: Buffer[]): Buffer[] {
  const all = [...instructions, instruction(RETURN, ALLOW)];
  return [instruction(JUMP_IF_EQUAL, number, { ifFalse: all.length }), ...all];
}

function loadArgument(index: number): Buffer {
  return instruction(LOAD, ARGUMENTS_AT + 8 * index);
}

/** `struct sock_filter`: what to do, how many instructions to leave out if it holds and if not, and with which number. */
function instruction(
  code: number,
  operand: number,
  { ifTrue = 0, ifFalse = 0 }: { ifTrue?: number; ifFalse?: number } = {},
): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(ifTrue, 2);
  bytes.writeUInt8(ifFalse, 3);
  bytes.writeUInt32LE(operand, 4);
  return bytes;
}
